"""Method `negmerge`: what the fine-tunings agree about is subtracted, by hand."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import cross_entropy

from app.methods.negmerge import NegmergeParams
from worker.methods.negmerge import consensual, negmerge
from worker.numerics.errors import EmptyExamples, NonFinite, NothingToDo
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.weights import network_with

PLAIN = Recipe(learning_rate=0.1, epochs=8, batch_size=1000, momentum=0.9)


def test_a_weight_moves_only_if_all_agree_and_by_the_mean() -> None:
    moves = [torch.tensor([1.0, -1.0, 1.0, 0.0, -4.0]), torch.tensor([3.0, -2.0, -1.0, 2.0, -2.0])]

    assert consensual(moves).tolist() == [2.0, -1.5, 0.0, 0.0, -3.0]
    assert consensual(moves[:1]).tolist() == moves[0].tolist()


def test_of_single_steps_the_mean_is_subtracted(problems: dict[Pattern, Problem]) -> None:
    """One batch, one epoch each: all steps go the same way, at rates 0.02 and 0.06, and λ = 2 doubles their mean."""
    problem = replace(problems["A"], recipe=PLAIN)
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    network = network_with(problem.build, problem.old)
    loss = cross_entropy(network(batch.inputs), batch.labels)
    gradients = torch.autograd.grad(loss, list(network.parameters()))

    outcome = negmerge(problem, NegmergeParams(strength=2, rate_factors=(0.2, 0.6), epochs=(1,)))

    assert outcome.facts["task_vectors"] == 2
    for (name, theta), g in zip(network.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(outcome.weights[name], theta.detach() + 2 * 0.04 * g, rtol=1e-4, atol=1e-6)


def test_every_rate_goes_with_every_number_of_epochs(problems: dict[Pattern, Problem]) -> None:
    assert negmerge(problems["A"], NegmergeParams(rate_factors=(0.1, 0.2), epochs=(1, 2, 3))).facts["task_vectors"] == 6


def test_it_climbs_the_loss_on_d_f(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    (batch,) = problem.forget.batches(1000)
    before, after = (
        float(cross_entropy(network_with(problem.build, w)(batch.inputs).detach(), batch.labels))
        for w in (problem.old, negmerge(problem, NegmergeParams()).weights)
    )

    assert after > before + 0.1


def test_a_fine_tuning_that_diverges_stores_nothing(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NonFinite):
        negmerge(
            replace(problems["A"], recipe=replace(PLAIN, learning_rate=1e38)), NegmergeParams(rate_factors=(10.0,))
        )


def test_where_d_f_teaches_nothing_there_is_nothing_to_subtract(problems: dict[Pattern, Problem]) -> None:
    sure = {name: torch.zeros_like(theta) for name, theta in problems["A"].old.items()}
    sure["2.bias"][0] = 1e4  # class 0 whatever comes: no loss on D_f

    with pytest.raises(NothingToDo):
        negmerge(replace(problems["A"], old=sure, recipe=PLAIN), NegmergeParams())


def test_nothing_to_forget_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    with pytest.raises(EmptyExamples):
        negmerge(replace(problem, forget=problem.forget.at(torch.arange(0))), NegmergeParams())
    with pytest.raises(ValidationError):
        NegmergeParams(rate_factors=())
