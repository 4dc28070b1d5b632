"""Method `neggrad_plus`: one loss against the other, by hand."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from app.core.params import Kind
from app.methods.neggrad_plus import NeggradPlusParams
from worker.methods.neggrad_plus import neggrad_plus
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.weights import network_with

PLAIN = Recipe(learning_rate=0.1, epochs=8, batch_size=1000, momentum=0.9)


def gradient(problem: Problem, examples: Examples | None) -> dict[str, Tensor]:
    assert examples
    (batch,) = examples.batches(1000)
    network = network_with(problem.build, problem.old)
    loss = cross_entropy(network(batch.inputs), batch.labels)
    return dict(
        zip(dict(network.named_parameters()), torch.autograd.grad(loss, list(network.parameters())), strict=True)
    )


def test_a_step_weighs_both_gradients(problems: dict[Pattern, Problem]) -> None:
    problem = replace(problems["A"], recipe=PLAIN)
    down, up = gradient(problem, problem.retain), gradient(problem, problem.forget)

    params = NeggradPlusParams(retain_strength=0.7, rate_factor=0.5, clip=1e9)
    outcome = neggrad_plus(problem, params)

    assert outcome.facts["steps"] == 1
    for name, theta in problem.old.items():
        expected = theta - 0.05 * (0.7 * down[name] - 0.3 * up[name])
        torch.testing.assert_close(outcome.weights[name], expected)


def test_a_step_is_never_longer_than_rate_times_clip(problems: dict[Pattern, Problem]) -> None:
    problem = replace(problems["A"], recipe=PLAIN)
    weights = neggrad_plus(problem, NeggradPlusParams(rate_factor=1, clip=0.01)).weights

    moved = sum(float((weights[name] - problem.old[name]).square().sum()) for name in weights) ** 0.5
    assert moved == pytest.approx(0.001, rel=1e-3)


def right(problem: Problem, params: NeggradPlusParams, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    network = network_with(problem.build, neggrad_plus(problem, params).weights)
    return float((network(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_a_class_is_forgotten_and_the_rest_is_held(problems: dict[Pattern, Problem]) -> None:
    problem, params = problems["A"], NeggradPlusParams(retain_strength=0.7, rate_factor=1, epochs=20)

    assert right(problem, params, problem.forget) < 0.2
    assert right(problem, params, problem.retain) > 0.9


def test_a_backdoor_is_forgotten_and_the_clean_samples_are_learned(problems: dict[Pattern, Problem]) -> None:
    problem, params = problems["B"], NeggradPlusParams(retain_strength=0.7, rate_factor=1, epochs=20)

    assert right(problem, params, problem.forget) < 0.2
    assert right(problem, params, problem.forget_clean) > 0.8


def test_scattered_samples_are_climbed_harder_than_what_has_much_in_common(problems: dict[Pattern, Problem]) -> None:
    by_class = neggrad_plus(problems["A"], NeggradPlusParams()).facts
    by_sample = neggrad_plus(replace(problems["A"], forgotten_class=None), NeggradPlusParams()).facts
    by_trigger = neggrad_plus(problems["B"], NeggradPlusParams()).facts

    assert (by_sample["retain_strength"], by_sample["learning_rate"]) == (0.8, 0.1)
    assert by_class["retain_strength"] == by_trigger["retain_strength"] == 0.99
    assert by_class["learning_rate"] == by_trigger["learning_rate"] == pytest.approx(0.03)


def test_more_to_forget_than_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    with pytest.raises(ForgetsTooMuch, match="retrain"):
        neggrad_plus(replace(problem, forget=problem.retain, retain=problem.forget), NeggradPlusParams())


def test_nothing_to_forget_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    with pytest.raises(EmptyExamples, match="D_f"):
        neggrad_plus(replace(problem, forget=problem.forget.at(torch.arange(0))), NeggradPlusParams())


def test_a_leakage_is_not_served() -> None:
    assert Kind.LEAKAGE not in NeggradPlusParams.serves
