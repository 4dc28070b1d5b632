"""Method `sfr_on`: who counts in the ascent, what moves in it, and that it comes to an end."""

from dataclasses import replace

import pytest
import torch

from app.methods.sfr_on import SfrOnParams
from worker.methods.sfr_on import between, coefficients, sfr_on
from worker.numerics.errors import EmptyExamples, NonFinite, NothingToDo
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import Weights, network_with


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_a_sample_counts_less_the_larger_its_loss() -> None:
    losses = torch.tensor([0.25, 1.0, 4.0], requires_grad=True)

    weights = coefficients(losses, 0.5)

    assert weights.tolist() == [2.0, 1.0, 0.5]
    assert not weights.requires_grad
    assert coefficients(losses, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_a_sample_without_loss_counts_no_more_than_finitely() -> None:
    assert coefficients(torch.zeros(1), 1.0).isfinite().all()


def test_slow_weights_go_part_of_the_way_and_counters_all_of_it() -> None:
    slow = {"weight": torch.tensor([1.0, 2.0]), "count": torch.tensor(3)}
    fast = {"weight": torch.tensor([2.0, 0.0]), "count": torch.tensor(7)}

    kept = between(slow, fast, 0.25)

    assert kept["weight"].tolist() == [1.25, 1.5]
    assert kept["count"] == 7


def test_the_ascent_moves_only_salient_weights(problems: dict[Pattern, Problem]) -> None:
    one = SfrOnParams(rounds=1, ascent_steps=3, repair_steps=1, repair_rate=1e-30, fraction=0.1)
    outcome = sfr_on(problems["A"], one)

    moved = sum(int((outcome.weights[name] != theta).sum()) for name, theta in problems["A"].old.items())
    assert 0 < moved <= int(outcome.facts["selected"]) <= round(0.1 * 123)


def test_the_ascent_raises_the_loss_on_d_f(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    one = SfrOnParams(rounds=1, ascent_steps=20, repair_steps=1, repair_rate=1e-30)

    assert right(problem, sfr_on(problem, one).weights, problem.forget) < right(problem, problem.old, problem.forget)


def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    new = sfr_on(problem, SfrOnParams(fraction=0.5, rounds=20)).weights

    assert right(problem, new, problem.forget) < 0.4
    assert right(problem, new, problem.retain) > 0.9


def test_a_step_that_is_far_too_long_ends_as_an_error(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.recipe
    wild = replace(problem, recipe=replace(problem.recipe, learning_rate=10.0, weight_decay=10.0))
    with pytest.raises(NonFinite, match="lower the learning rate"):
        sfr_on(wild, SfrOnParams(rounds=50))


def test_a_network_that_learns_nothing_from_d_f_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    sure = {name: torch.zeros_like(theta) for name, theta in problems["A"].old.items()}
    sure["2.bias"][0] = 1e4  # class 0 whatever comes: no loss on D_f, no gradient

    with pytest.raises(NothingToDo, match="salient"):
        sfr_on(replace(problems["A"], old=sure), SfrOnParams())


def test_nothing_left_to_keep_is_an_error(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    with pytest.raises(EmptyExamples, match="nothing is left"):
        sfr_on(replace(problem, fisher=replace(problem.fisher, count=40)), SfrOnParams())
