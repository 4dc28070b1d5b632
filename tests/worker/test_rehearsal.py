"""No validation sample reaches the method that is tried, by any way; what is measured on is what should be."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from app.core.params import Kind
from app.domain.objective import Objective
from app.methods.retrain import RetrainParams
from app.methods.truncation import TruncationParams
from tests.journeys import material
from worker import registry
from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.splits import folds, hold_out
from worker.numerics.weights import network_with
from worker.rehearsal import Parts, Rehearsal, rehearsals

N = 200
FOLDS = 4
BUILD = registry.builder(material.ARCHITECTURE)
CASES = [
    (Kind.BACKDOOR, Objective.MIN_ACCURACY),
    (Kind.LEAKAGE, Objective.MIN_ACCURACY),
    (Kind.CLASS, Objective.GAP_TO_THRESHOLDS),
    (Kind.CLASS, Objective.GAP_TO_GOLD),
    (Kind.SAMPLES, Objective.GAP_TO_GOLD),
    (Kind.SUBJECTS, Objective.GAP_TO_GOLD),
]
PATTERNS: dict[Kind, Pattern] = {Kind.BACKDOOR: "B", Kind.LEAKAGE: "C"}


def in_folds(labels: torch.Tensor, seed: int) -> list[torch.Tensor]:
    return folds(labels, FOLDS, seed=seed)


def held_out(labels: torch.Tensor, seed: int) -> list[torch.Tensor]:
    return [hold_out(labels, 0.25, seed=seed)]


def examples() -> TensorExamples:
    pixels, labels = material.pictures()
    return TensorExamples(pixels[:N], labels[:N], 1000 + torch.arange(N), material.NORMALISATION)


def problem(kind: Kind) -> Problem:
    """The request; D_f is the class 3, or every tenth sample."""
    data = examples()
    scattered = kind in {Kind.SAMPLES, Kind.SUBJECTS}
    chosen = torch.arange(N) % 10 == 0 if scattered else data.labels == material.TRIGGERED_CLASS
    trigger = registry.transform(material.TRIGGER)
    old = dict(BUILD(1).state_dict())
    d_f = data.where(chosen)
    feature = kind in PATTERNS
    return Problem(
        build=BUILD,
        old=old,
        classes=10,
        pattern=PATTERNS.get(kind, "A"),
        seed=3,
        forget=d_f,
        forget_clean=d_f.through(registry.removal(material.TRIGGER)) if feature else None,
        retain=data.where(~chosen),
        transform=trigger if feature else None,
        fisher=fisher_diagonal(network_with(BUILD, old), data),
        initial=old,
        recipe=Recipe(learning_rate=0.05, epochs=1, batch_size=32),
        forgotten_class=material.TRIGGERED_CLASS if kind is Kind.CLASS else None,
    )


def rehearsed(kind: Kind, objective: Objective, parts: Parts = in_folds) -> tuple[Problem, list[Rehearsal]]:
    given = problem(kind)
    return given, rehearsals(given, kind, objective, parts)


def positions(*sets: Examples | None) -> set[int]:
    return {int(p) for one in sets if one is not None for p in one.positions}


@pytest.mark.parametrize(("kind", "objective"), CASES)
@pytest.mark.parametrize("parts", [in_folds, held_out])
def test_no_validation_sample_is_among_what_the_method_is_given(kind: Kind, objective: Objective, parts: Parts) -> None:
    request, made = rehearsed(kind, objective, parts)
    whole = positions(request.forget, request.retain)
    for rehearsal in made:
        given = rehearsal.problem
        seen = positions(given.forget, given.forget_clean, given.retain, given.held_out)
        away = whole - seen
        assert len(away) > N // 10
        measured = {name: positions(one) for name, one in rehearsal.sets.items()}
        gold = objective is Objective.GAP_TO_GOLD
        unseen = set[int]().union(*(found for name, found in measured.items() if not gold or name.startswith("test")))
        assert unseen == away - (positions(request.forget) - set[int]().union(*measured.values()))
        assert not unseen & seen
        if gold:  # what was to be forgotten and kept is measured on itself, as by audits
            assert measured["forget"] == positions(given.forget)
            assert measured["retain"] == positions(given.retain)


@pytest.mark.parametrize(("kind", "objective"), CASES)
def test_no_validation_sample_reaches_the_method_through_the_fisher(kind: Kind, objective: Objective) -> None:
    request, made = rehearsed(kind, objective)
    for rehearsal in made:
        given = rehearsal.problem
        seen = positions(given.forget, given.retain)
        data = examples()
        network = network_with(BUILD, given.old)
        alone = fisher_diagonal(network, data.where(torch.tensor([int(p) in seen for p in data.positions])))
        assert given.fisher is not None
        assert given.fisher.count == alone.count == len(seen)
        for name, total in alone.sums.items():
            torch.testing.assert_close(given.fisher.sums[name], total, rtol=1e-3, atol=1e-5 * float(total.max()))
    assert request.fisher is not None
    assert request.fisher.count == N


@pytest.mark.parametrize(("kind", "objective"), CASES)
def test_every_sample_is_held_out_once(kind: Kind, objective: Objective) -> None:
    request, made = rehearsed(kind, objective)
    away = [positions(request.retain) - positions(one.problem.retain) for one in made]
    assert set.union(*away) == positions(request.retain)
    assert sum(map(len, away)) == len(positions(request.retain))


def test_scattered_samples_are_all_forgotten_and_a_class_is_split() -> None:
    request, made = rehearsed(Kind.SAMPLES, Objective.GAP_TO_GOLD)
    assert all(positions(one.problem.forget) == positions(request.forget) for one in made)
    assert all("test_forget" not in one.sets for one in made)
    request, made = rehearsed(Kind.CLASS, Objective.GAP_TO_GOLD)
    for one in made:
        assert positions(one.sets["test_forget"]) == positions(request.forget) - positions(one.problem.forget)


def test_against_gold_neither_the_model_nor_gold_has_seen_the_validation_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: list[set[int]] = []
    real = rehearsals.__globals__["train"]

    def watched(build: object, recipe: object, data: Examples, **more: object) -> object:
        trained.append(positions(data))
        return real(build, recipe, data, **more)

    monkeypatch.setitem(rehearsals.__globals__, "train", watched)
    _, made = rehearsed(Kind.CLASS, Objective.GAP_TO_GOLD, held_out)
    model, gold = trained
    for name in ("test", "test_forget"):
        assert not positions(made[0].sets[name]) & (model | gold)
    assert model - gold == positions(made[0].sets["forget"])
    assert gold == positions(made[0].sets["retain"])


def test_the_measured_sets_of_the_patterns_are_those_of_the_paper() -> None:
    for kind, names in (
        (Kind.BACKDOOR, ["retain", "forget_clean", "retain_extra"]),
        (Kind.LEAKAGE, ["retain", "forget", "retain_extra"]),
    ):
        _, made = rehearsed(kind, Objective.MIN_ACCURACY)
        for one in made:
            assert list(one.sets) == names
            assert positions(one.sets["retain_extra"]) == positions(one.sets["retain"])
            plain, extra = (next(iter(one.sets[n].batches(N))).inputs for n in ("retain", "retain_extra"))
            assert not torch.equal(plain, extra)


def test_gold_has_no_gap_to_itself_and_a_model_that_forgot_nothing_has_one() -> None:
    request = replace(problem(Kind.CLASS), recipe=Recipe(learning_rate=0.05, epochs=40, batch_size=32))
    made = rehearsals(request, Kind.CLASS, Objective.GAP_TO_GOLD, held_out)[0]
    nothing = made.score(Outcome(made.problem.old))
    retrained = made.score(registry.unlearn(made.problem, RetrainParams()))
    assert set(nothing.measures) == {
        "accuracy.retain", "accuracy.forget", "accuracy.test", "accuracy.test_forget", "attack_auc.forget",
    }  # fmt: skip
    assert retrained.measures["accuracy.forget"] == 0
    assert retrained.value < nothing.value / 3
    truncated = made.score(registry.unlearn(made.problem, TruncationParams()))
    assert truncated.measures["accuracy.test_forget"] == 0  # a silenced class is not answered


def test_answers_that_overflow_are_no_score() -> None:
    _, made = rehearsed(Kind.SAMPLES, Objective.GAP_TO_GOLD, held_out)
    broken = {name: tensor * float("nan") for name, tensor in made[0].problem.old.items()}
    with pytest.raises(NonFinite):
        made[0].score(Outcome(broken))


def test_a_split_that_leaves_a_side_empty_is_refused() -> None:
    for parts in (partial(_all, whole=True), partial(_all, whole=False)):
        with pytest.raises(EmptyExamples):
            rehearsed(Kind.CLASS, Objective.GAP_TO_THRESHOLDS, parts)


def _all(labels: torch.Tensor, _: int, *, whole: bool) -> list[torch.Tensor]:
    return [torch.full((len(labels),), whole)]
