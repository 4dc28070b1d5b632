"""What an unlearning method returns, and what a metric returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from worker.numerics.examples import Examples
from worker.numerics.recipe import Recipe
from worker.numerics.run import Fact, Run
from worker.numerics.weights import Build, Weights

Kind = Literal["samples", "subjects", "class", "backdoor", "leakage"]
"""What the request names: it decides which way a number should go."""

Direction = Literal["higher", "lower", "gold"]
"""Which way is better; "gold": the closer to gold, or to a model that never saw D_f, the better."""


@dataclass(frozen=True)
class Model:
    """Weights that can answer: a network's builder, its weights, and the classes it never answers (truncation)."""

    build: Build
    weights: Weights
    silenced: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """What a method did."""

    weights: Weights
    facts: Mapping[str, Fact] = field(default_factory=dict)  # for the report: |S|/p, γ, steps, ...
    silenced: frozenset[int] = frozenset()


class Again(NamedTuple):
    """The request once more: from the number of a repetition, which has a seed of its own, and a run to a model."""

    unlearned: Callable[[int, Run], Model]  # by the request's method, from the deployed weights
    retrained: Callable[[int, Run], Model]  # by the recipe, without what is forgotten
    random: bool  # whether the method gives other weights with another seed
    whole: Run  # what is kept here serves whatever is audited by the same job


@dataclass(frozen=True)
class Bench:
    """What a metric measures on: the models side by side, and the sets by name.

    Set names: `retain` D_r, `forget` D_f, `forget_clean` D_f,clean, `retain_extra` D_r,extra = T(D_r), `test` held-out
    data without a forgotten class, `test_forget` the held-out data of the forgotten class (class requests),
    `test_extra` T(held-out). Only sets that exist for the request's kind are there.
    """

    before: Model
    after: Model
    golds: tuple[Model, ...]  # retrained without what is forgotten, one per seed; may be empty
    sets: Mapping[str, Examples]
    kind: Kind
    classes: int
    seed: int
    run: Run
    recipe: Recipe | None = None  # for metrics that train models of their own
    initial: Weights | None = None  # weights before training
    again: Again | None = None  # None: nobody knows how `after` was made
    asked: dict[tuple[int, str], Any] = field(default_factory=dict, compare=False, repr=False)
    """What models answered so far: see `worker.numerics.answers`. Never shared between benches."""
    trained: dict[str, tuple[Model, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Reference models that metrics trained so far: see `worker.references`."""


@dataclass(frozen=True)
class Contrast:
    """How much more a model shows about D_f than one that never saw it, in the unit of its finding.

    Under "never saw it" the expectation is 0 and the standard error √(spread²/n + floor²), so that the samples which a
    claim needs can be calculated; `error` is that of `value` itself, for its intervals.
    """

    against: str  # what it is compared with, in words
    value: float  # of the model after the job
    error: float  # standard error of `value`
    control: float  # of the model before: what is found where nothing was done
    n: int  # forgotten samples
    spread: float  # the part of the error that more forgotten samples reduce, as for n = 1
    floor: float  # the part that they do not: held-out samples, gold models
    least: int = 0  # below so many forgotten samples no outcome would be surprising


@dataclass(frozen=True)
class Finding:
    """One measured number with its controls. Proportions and areas are in [0, 1]."""

    metric: str  # the metric's name
    measure: str  # what of it, e.g. "accuracy", "attack_auc", "predicted_member"
    on: str  # the set's name
    direction: Direction
    n: int  # samples that the number rests on
    before: float
    after: float
    no_op: float  # the same procedure on a model to which nothing was done, with its own random draws
    gold: tuple[float, ...]  # one value per gold model; empty: no gold
    interval: tuple[float, float]  # 95 % interval of `after`
    attack_feature: str | None = None
    caveats: tuple[str, ...] = ()
    error: float | None = None  # standard error of `after`; None: it has none, or it is not known
    gold_interval: tuple[float, float] | None = None  # 95 % interval of `after` minus the golds' mean
    gold_error: float | None = None  # its standard error
    contrast: Contrast | None = None  # where the metric knows what never having seen D_f would show
