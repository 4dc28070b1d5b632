"""Method `amnesiac`: the steps that saw D_f go, and no others."""

from dataclasses import replace

import pytest
import torch

from app.architectures.mlp import MlpParams
from app.architectures.sisa import SisaNetworkParams
from app.core.params import Deployed, Kind, Need
from app.methods.amnesiac import AmnesiacParams
from app.methods.finetune import FinetuneParams
from tests.worker.methods.conftest import build, cloud
from worker import pipeline
from worker.methods.amnesiac import amnesiac
from worker.numerics.deltas import NOBODY, Deltas
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.evaluation import accuracy, logits
from worker.numerics.jacobian import flat
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem

ALONE = AmnesiacParams(repair_epochs=0)
PARAMETERS = 123


def by_hand(problem: Problem, *forget: int) -> Problem:
    """Steps that moved every weight by 1, 2 and 4; samples 0 and 1 in the first batch, 1 and 2, and 3 alone."""
    positions = torch.tensor([[0, 1], [1, 2], [3, NOBODY]])
    deltas = Deltas(positions, lambda step: torch.full((PARAMETERS,), 2.0**step))
    data = cloud(1, 10)
    old = {name: torch.zeros_like(theta) for name, theta in problem.old.items()}
    return replace(problem, old=old, deltas=deltas, forget=data.at(torch.tensor(forget)))


@pytest.mark.parametrize(
    ("forget", "left"), [((0,), -1.0), ((1,), -3.0), ((3,), -4.0), ((0, 3), -5.0), ((0, 1, 2, 3), -7.0)]
)
def test_exactly_the_steps_that_saw_a_sample_are_taken_back(
    problems: dict[Pattern, Problem], forget: tuple[int, ...], left: float
) -> None:
    outcome = amnesiac(by_hand(problems["A"], *forget), ALONE)
    assert (flat(outcome.weights, build(0)) == left).all()


def test_what_an_earlier_request_took_back_is_not_taken_back_twice(problems: dict[Pattern, Problem]) -> None:
    problem = by_hand(problems["A"], 1)
    assert problem.deltas is not None
    taken = replace(problem, deltas=replace(problem.deltas, taken=frozenset({0})))
    outcome = amnesiac(taken, ALONE)
    assert (flat(outcome.weights, build(0)) == -2.0).all()
    assert outcome.facts == {"batches": 2, "batches_taken_back": 1}


def test_samples_that_no_batch_held_cannot_be_taken_back(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo, match="no recorded batch"):
        amnesiac(by_hand(problems["A"], 9), ALONE)


def test_where_every_batch_held_one_nothing_of_the_training_is_left(problems: dict[Pattern, Problem]) -> None:
    """A class is a third of the data, and a batch holds 16."""
    problem = problems["A"]
    assert problem.initial is not None
    outcome = amnesiac(problem, ALONE)
    assert outcome.facts["batches_taken_back"] == outcome.facts["batches"] == 64
    for name, initial in problem.initial.items():
        torch.testing.assert_close(outcome.weights[name], initial, rtol=1e-6, atol=1e-7)


def test_the_repair_brings_back_what_is_kept(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain is not None
    broken, repaired = (amnesiac(problem, AmnesiacParams(repair_epochs=epochs)).weights for epochs in (0, 5))
    before, after = (
        accuracy(logits(Model(build, weights), problem.retain), problem.retain.labels) for weights in (broken, repaired)
    )
    assert before < 0.7
    assert after > 0.9


def test_without_a_repair_neither_what_is_kept_nor_the_recipe_is_needed(problems: dict[Pattern, Problem]) -> None:
    assert ALONE.needs(Kind.CLASS) == {Need.FORGET, Need.DELTAS}
    amnesiac(replace(problems["A"], retain=None, recipe=None), ALONE)


def test_shards_are_refused() -> None:
    member = MlpParams(input_shape=(6,), classes=3, layers=1)
    shards = SisaNetworkParams(input_shape=(6,), classes=3, shards=2, member=member)
    assert "sisa" in (AmnesiacParams().misfit(Deployed(shards, 100)) or "")
    assert AmnesiacParams().misfit(Deployed(member, 100)) is None


@pytest.mark.parametrize("part", ["forget", "retain"])
def test_an_empty_set_is_refused(problems: dict[Pattern, Problem], part: str) -> None:
    nothing = cloud(1, 3).at(torch.arange(0))
    with pytest.raises(EmptyExamples, match="empty"):
        amnesiac(replace(problems["A"], **{part: nothing}), AmnesiacParams())  # type: ignore[arg-type]


def test_only_what_it_made_itself_is_still_a_sum_of_steps(problems: dict[Pattern, Problem]) -> None:
    """A ladder may have had the deltas for a rung that was not published."""
    problem = by_hand(problems["A"], 1)
    assert pipeline._taken(problem, AmnesiacParams()) == [0, 1]
    assert pipeline._taken(problem, FinetuneParams()) is None
