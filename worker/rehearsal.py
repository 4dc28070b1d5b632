"""Rehearsals of a forget request: what a method is given in a trial, and the validation data that it never sees.

Neither the audit's test split nor a validation sample reaches the method: not through D_f, D_f,clean or D_r, and not
through the Fisher diagonal, from which the validation samples are subtracted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from app.core.params import Kind
from app.domain.objective import Objective
from worker.intervals import area
from worker.numerics import evaluation
from worker.numerics.concatenation import concatenated
from worker.numerics.draws import matched
from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.examples import Examples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.training import train
from worker.numerics.weights import network_with, weights_of
from worker.objectives import OBJECTIVES, Measures

Parts = Callable[[Tensor, int], Sequence[Tensor]]
"""Labels `(N,)` and a seed to masks `(N,)` of the validation parts, equally many whichever labels."""
Sets = Mapping[str, Examples]
"""By the names of `worker.numerics.outcome.Bench`."""
MEASURED = {
    "A": ("retain", "forget"),
    "B": ("retain", "forget_clean", "retain_extra"),
    "C": ("retain", "forget", "retain_extra"),
}
"""The accuracies of a pattern (Hayase et al. 2020, §5)."""


class Scored(NamedTuple):
    """What one trial is worth on one validation part."""

    value: float
    measures: Measures


@dataclass(frozen=True)
class Rehearsal:
    """One validation part."""

    problem: Problem  # what the method is given
    sets: Sets  # what is measured on
    objective: Objective
    reference: Measures  # of gold, or of the model before
    silenced: frozenset[int] = frozenset()  # classes that the model before never answers

    def score(self, outcome: Outcome) -> Scored:
        """What the outcome of a method on `problem` is worth.

        Raises:
            NonFinite: what it answers is no number.
        """
        after = Model(self.problem.build, outcome.weights, self.silenced | outcome.silenced)
        measures = measured(after, self.sets, self.problem)
        if wrong := [name for name, value in measures.items() if not isfinite(value)]:
            raise NonFinite(f"{' and '.join(wrong)} cannot be measured: the answers overflow")
        return Scored(OBJECTIVES[self.objective](measures, self.reference), measures)


def rehearsals(
    problem: Problem, kind: Kind, objective: Objective, parts: Parts, silenced: frozenset[int] = frozenset()
) -> list[Rehearsal]:
    """One rehearsal for each validation part.

    Patterns B and C, and classes without gold, are rehearsed on the deployed weights, with D_f and D_r split.

    Against gold the whole request is rehearsed: the recipe makes a model from D without the validation part, the method
    makes it forget, and a model that the recipe makes without D_f as well says what that should have led to. So the
    validation part is held-out data for everybody, as the test split is in an audit, although the deployed model was
    trained on it. A class is split too. Scattered samples are not, they are all forgotten: to forget one says nothing
    of another.

    Args:
        problem: the request's own, with its whole D_f and D_r and, where a method needs it, the stored Fisher.
        kind: of the request.
        objective: what the trials go by.
        parts: how to split.
        silenced: classes that the deployed model never answers.

    Raises:
        EmptyExamples: a part is empty, or D_r or the recipe is missing.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    of_retain = parts(retain.labels, derived(problem.seed, "split", "retain"))
    of_forget = parts(forget.labels, derived(problem.seed, "split", "forget"))
    if kind in {Kind.SAMPLES, Kind.SUBJECTS}:
        of_forget = [torch.zeros_like(mask) for mask in of_forget]
    made = []
    for number, (f, r) in enumerate(zip(of_forget, of_retain, strict=True), 1):
        given, unseen = _apart(problem, f, r)
        if objective is Objective.GAP_TO_GOLD:
            made.append(_from_scratch(given, unseen, number, needs_fisher=problem.fisher is not None))
        else:
            made.append(_deployed(problem, given, unseen, objective, silenced))
    return made


def measured(model: Model, sets: Sets, problem: Problem) -> dict[str, float]:
    """Accuracy on every set and, where there is held-out data beside D_f, the area under the curve of an attack.

    The attack tells D_f from equally many held-out samples of the same classes by their loss, as the metric `mia`.
    """
    answers = {name: evaluation.logits(model, examples, run=problem.run) for name, examples in sets.items()}
    measures = {f"accuracy.{name}": evaluation.accuracy(answers[name], sets[name].labels) for name in sets}
    held_out = "test_forget" if "test_forget" in sets else "test"
    if held_out in sets:
        seed = derived(problem.seed, "search", "attack")
        draw = matched(sets["forget"].labels, sets[held_out].labels, seed=seed)
        forgotten, others = (
            -evaluation.per_sample_loss(answers[name][rows], sets[name].labels[rows]).numpy()
            for name, rows in (("forget", draw.members), (held_out, draw.others))
        )
        if len(draw.members):
            measures["attack_auc.forget"] = area(forgotten, others)
    return measures


def _apart(problem: Problem, f: Tensor, r: Tensor) -> tuple[Problem, dict[str, Examples]]:
    """What is given, still with the whole Fisher, and what is not; the masks are of what is not."""
    forget, retain, clean = required(problem.forget, "D_f"), required(problem.retain, "D_r"), problem.forget_clean
    if not r.any() or r.all() or f.all():
        raise EmptyExamples("a validation part takes all samples, or none: take fewer folds, or another fraction")
    given = replace(
        problem,
        forget=forget.where(~f),
        forget_clean=None if clean is None else clean.where(~f),
        retain=retain.where(~r),
    )
    unseen = {"retain": retain.where(r)}
    if f.any():
        unseen["forget"] = forget.where(f)
        if clean is not None:
            unseen["forget_clean"] = clean.where(f)
    return given, unseen


def _deployed(
    problem: Problem, given: Problem, unseen: dict[str, Examples], objective: Objective, silenced: frozenset[int]
) -> Rehearsal:
    if problem.transform is not None:
        unseen["retain_extra"] = unseen["retain"].through(problem.transform)
    names = MEASURED[problem.pattern]
    if missing := [name for name in names if name not in unseen]:
        raise EmptyExamples(f"without {' and '.join(missing)} there is nothing to go by: take fewer folds, or name T")
    if problem.fisher is not None:
        network = network_with(problem.build, problem.old)
        both = concatenated(unseen["retain"], unseen["forget"])
        given = replace(given, fisher=problem.fisher.minus(fisher_diagonal(network, both, run=problem.run)))
    sets = {name: unseen[name] for name in names}
    before = measured(Model(problem.build, problem.old, silenced), sets, problem)
    return Rehearsal(given, sets, objective, before, silenced)


def _from_scratch(given: Problem, unseen: Sets, number: int, *, needs_fisher: bool) -> Rehearsal:
    forget, retain = required(given.forget, "D_f"), required(given.retain, "D_r")
    recipe, both = required(given.recipe, "the recipe"), concatenated(retain, forget)
    seeds = [derived(given.seed, "rehearsal", number, part) for part in ("old", "gold")]
    old, gold = (
        train(given.build, recipe, examples, seed=seed, run=given.run, phase=f"{part}_{number}")
        for examples, seed, part in ((both, seeds[0], "old"), (retain, seeds[1], "gold"))
    )
    fisher = fisher_diagonal(network_with(given.build, old), both, run=given.run) if needs_fisher else None
    initial = weights_of(given.build(seeds[0]))
    problem = replace(given, old=old, initial=initial, fisher=fisher)
    sets = {"retain": retain, "forget": forget, "test": unseen["retain"]}
    if "forget" in unseen:
        sets["test_forget"] = unseen["forget"]
    return Rehearsal(problem, sets, Objective.GAP_TO_GOLD, measured(Model(given.build, gold), sets, given))
