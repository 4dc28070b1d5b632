"""Findings and their judgement, as they stand in a report."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["pass", "fail", "inconclusive", "not_judged"]

BY_ATTACK = frozenset({"predicted_member", "efficacy"})
"""Measures that one audit may have several findings of, one for each attack; no claim is about them."""
USUAL_ATTACKS = frozenset({None, "confidence"})
"""What such a measure is of unless something else is said."""


class Gold(BaseModel):
    """The value of models that were retrained without what is forgotten."""

    model_config = ConfigDict(frozen=True)

    mean: float
    std: float
    """Between the gold models; 0 for a single one."""
    models: int


class Contrast(BaseModel):
    """How much more a model shows about D_f than one that never saw it, in the unit of its finding.

    A model that never saw it shows 0, with the standard error √(spread²/n + floor²).
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    against: str
    """What it is compared with, in words."""
    value: float
    """Of the model after the job."""
    error: float
    """Standard error of `value`."""
    control: float
    """Of the model before: what this comparison shows where nothing was done."""
    n: int
    """Forgotten samples."""
    spread: float
    """The part of the error that more forgotten samples reduce, as for n = 1."""
    floor: float
    """The part that they do not: held-out samples, gold models."""
    least: int = 0
    """Below so many forgotten samples no outcome would be surprising."""


class Finding(BaseModel):
    """One measured number with its controls. Proportions and areas are in [0, 1]."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    metric: str
    measure: str
    on: str
    """The set it was measured on."""
    direction: Literal["higher", "lower", "gold"]
    """Which way is better; `gold`: the closer to a retrained model the better."""
    attack_feature: str | None
    """What the attacker goes by; it tells findings of the same metric, measure and set apart."""
    n: int
    """Samples the number rests on."""
    seed: int
    before: float
    after: float
    no_op: float
    """The same procedure on the model to which nothing was done, with its own random draws."""
    gold: Gold | None
    """None: no gold model was asked for."""
    difference_to_gold: float | None
    interval: tuple[float, float]
    """95 % interval of `after`."""
    standard_error: float | None = None
    """Of `after`, by sampling; None where it is not known."""
    difference_interval: tuple[float, float] | None = None
    """95 % interval of the difference to gold: sampling error, and the spread of several gold models."""
    contrast: Contrast | None = None
    """Where the metric knows what never having seen D_f would show."""
    caveats: tuple[str, ...] = ()
    outcome: Outcome = "not_judged"
    threshold: str | None = None
    reason: str | None = None
    p_value: float | None = None
    """How often a model without the fault that `threshold` excludes would show this much; before Holm's correction."""
    needed: int | None = None
    """Samples from which the claim can be made with 80 % power; None: no number of them, or it is not judged."""
    margin: float | None = None
    """How far the number may lie from what never having seen the data would show."""


def to_be_told_apart(found: Iterable[tuple[str, str | None]]) -> frozenset[str]:
    """The measures beside which a reader must see the attack, from the measures and attacks of an audit."""
    return frozenset(measure for measure, attack in found if measure in BY_ATTACK and attack not in USUAL_ATTACKS)
