"""Method `fisher_forgetting`: how much noise where, and what gets none."""

from dataclasses import replace

import pytest
import torch

from app.methods.fisher_forgetting import FisherForgettingParams
from worker.methods.fisher_forgetting import deviation, fisher_forgetting, noisy
from worker.numerics.errors import EmptyExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived
from worker.numerics.weights import network_with


def test_the_variance_goes_with_the_root_of_the_inverse_fisher() -> None:
    fisher = torch.tensor([1.0, 16.0, 1e-8]).double()

    assert deviation(fisher, noise=16e-4, largest=10.0).tolist() == pytest.approx([0.2, 0.1, 10.0])


def test_dead_weights_get_the_largest_noise_and_no_more() -> None:
    assert deviation(torch.zeros(2, 3).double(), noise=1e-9, largest=0.1).tolist() == [[0.1] * 3] * 2


def test_noise_has_the_stated_size() -> None:
    n = noisy(torch.ones(100_000), torch.full((100_000,), 0.5).double(), seed=3) - 1

    assert float(n.mean()) == pytest.approx(0, abs=0.01)
    assert float(n.std()) == pytest.approx(0.5, abs=0.01)


def test_the_noise_is_that_of_d_r_and_not_of_d(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    fisher = fisher_diagonal(network_with(problem.build, problem.old), problem.retain).diagonal()

    outcome = fisher_forgetting(problem, FisherForgettingParams(noise=1e-10))

    for name, theta in problem.old.items():
        sigma = deviation(fisher[name], noise=1e-10, largest=0.1)
        expected = noisy(theta, sigma, seed=derived(problem.seed, "fisher_forgetting", name))
        assert torch.allclose(outcome.weights[name] - theta, expected - theta, rtol=1e-3, atol=1e-5)


def test_two_tensors_of_one_shape_get_noise_of_their_own(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    outcome = fisher_forgetting(problem, FisherForgettingParams(noise=1e3))  # all at the limit
    first, last = (outcome.weights[name] - problem.old[name] for name in ("0.bias", "2.bias"))

    assert not torch.allclose(first[:3], last, atol=1e-3)


def test_the_facts_say_how_much_noise_there_was(problems: dict[Pattern, Problem]) -> None:
    facts = fisher_forgetting(problems["A"], FisherForgettingParams(noise=1e3, largest_deviation=0.2)).facts

    assert facts["median_deviation"] == facts["largest_deviation"] == 0.2
    assert facts["limited_fraction"] == 1.0


def test_nothing_left_to_keep_is_an_error(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    with pytest.raises(EmptyExamples, match="nothing is left"):
        fisher_forgetting(replace(problem, fisher=replace(problem.fisher, count=40)), FisherForgettingParams())
