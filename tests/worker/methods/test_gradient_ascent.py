"""Method `gradient_ascent`: uphill, and no further than asked."""

from dataclasses import replace
from math import log

import pytest
import torch

from app.core.params import Kind
from app.methods.gradient_ascent import GradientAscentParams
from worker.methods.gradient_ascent import gradient_ascent
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import Weights, network_with


def loss(problem: Problem, weights: Weights) -> float:
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    network = network_with(problem.build, weights)
    return torch.nn.functional.cross_entropy(network(batch.inputs), batch.labels).item()


def test_one_step_goes_up_the_gradient_of_the_whole_loss(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    network = network_with(problem.build, problem.old)
    torch.nn.functional.cross_entropy(network(batch.inputs), batch.labels).backward()  # type: ignore[no-untyped-call]

    weights = gradient_ascent(problem, GradientAscentParams(steps=1, learning_rate=0.1, clip=1e9)).weights

    for name, theta in network.named_parameters():
        assert theta.grad is not None
        torch.testing.assert_close(weights[name], problem.old[name] + 0.1 * theta.grad)


def test_a_step_is_never_longer_than_rate_times_clip(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    weights = gradient_ascent(problem, GradientAscentParams(steps=1, learning_rate=0.1, clip=0.01)).weights

    moved = sum(float((weights[name] - problem.old[name]).square().sum()) for name in weights) ** 0.5
    assert moved == pytest.approx(0.001, rel=1e-3)


@pytest.mark.parametrize("batch_size", [7, 128])
def test_it_stops_when_the_loss_on_all_of_d_f_is_that_of_chance(
    problems: dict[Pattern, Problem], batch_size: int
) -> None:
    problem = problems["A"]
    outcome = gradient_ascent(problem, GradientAscentParams(learning_rate=0.02, batch_size=batch_size))

    assert outcome.facts["stopped_by"] == "loss"
    assert outcome.facts["stop_loss"] == log(3)
    assert log(3) <= float(outcome.facts["loss_on_forget"]) < 1.5
    assert outcome.facts["loss_on_forget"] == pytest.approx(loss(problem, outcome.weights))
    assert outcome.facts["loss_on_forget_before"] == pytest.approx(loss(problem, problem.old))


def test_a_step_less_would_not_have_been_enough(problems: dict[Pattern, Problem]) -> None:
    params = GradientAscentParams(learning_rate=0.02)
    steps = int(gradient_ascent(problems["A"], params).facts["steps"])

    facts = gradient_ascent(problems["A"], params.model_copy(update={"steps": steps - 1})).facts

    assert facts["stopped_by"] == "steps"
    assert float(facts["loss_on_forget"]) < log(3)


def test_a_loss_to_stop_at_may_be_given(problems: dict[Pattern, Problem]) -> None:
    facts = gradient_ascent(problems["A"], GradientAscentParams(learning_rate=0.01, stop_loss=0.4)).facts

    assert 0.4 <= float(facts["loss_on_forget"]) < 0.5


def test_the_steps_are_bounded(problems: dict[Pattern, Problem]) -> None:
    facts = gradient_ascent(problems["A"], GradientAscentParams(stop_loss=1e6, steps=5)).facts

    assert (facts["steps"], facts["stopped_by"]) == (5, "steps")


def test_a_loss_that_is_there_already_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo, match="stop_loss"):
        gradient_ascent(problems["A"], GradientAscentParams(stop_loss=1e-9))


def test_nothing_to_forget_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    with pytest.raises(EmptyExamples):
        gradient_ascent(replace(problem, forget=problem.forget.at(torch.arange(0))), GradientAscentParams())


def test_a_leakage_is_not_served() -> None:
    assert Kind.LEAKAGE not in GradientAscentParams.serves
