"""Method `certified_removal`: towards the retrained head, within the budget, and honest about the rest."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from app.methods.certified_removal import CertifiedRemovalParams
from tests.worker.methods.conftest import CLASSES, FEATURES, RECIPE, cloud
from worker.methods.certified_removal import certified_removal, tilt
from worker.numerics.accounting import epsilon_of
from worker.numerics.errors import EmptyExamples, Misfit, NotConverged, TooLarge
from worker.numerics.examples import Examples
from worker.numerics.head import head_inputs, head_of
from worker.numerics.newton import MULTINOMIAL, ONE_VS_REST, Objective, objective, optimum
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.run import Quiet
from worker.numerics.training import train
from worker.numerics.weights import network_with

BARE = CertifiedRemovalParams(noise=0)


def linear(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Linear(FEATURES, CLASSES)


@pytest.fixture(scope="module")
def samples() -> Problem:
    """A network of one layer; 6 of 120 samples shall go."""
    data = cloud(1, 120)
    gone = torch.arange(120) < 6
    old = train(linear, RECIPE, data, seed=5)
    return Problem(linear, old, CLASSES, "A", 7, forget=data.where(gone), retain=data.where(~gone))


def over(problem: Problem, examples: Examples, params: CertifiedRemovalParams) -> Objective:
    """The head's objective on some of the data, with the request's noise."""
    network = network_with(problem.build, problem.old)
    head = head_of(network, examples)
    b = tilt(head.matrix(problem.old), params.noise, seed=derived(problem.seed, "certified_removal"))
    x = head_inputs(network, head, examples, run=Quiet(), phase="features")
    loss = MULTINOMIAL if params.loss == "multinomial" else ONE_VS_REST
    return objective(loss, x, examples.labels, strength=params.strength, tilt=b)


def head(problem: Problem, params: CertifiedRemovalParams) -> Tensor:
    outcome = certified_removal(problem, params)
    return head_of(network_with(problem.build, problem.old), problem.retain or cloud(1, 2)).matrix(outcome.weights)


@pytest.mark.parametrize("loss", ["one_vs_rest", "multinomial"])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_it_is_closer_to_the_retrained_head_than_the_old_one(samples: Problem, loss: str, noise: float) -> None:
    params = CertifiedRemovalParams.model_validate({"loss": loss, "noise": noise, "steps": 1, "epsilon": 1e6})
    assert samples.retain
    assert samples.forget
    kept = over(samples, samples.retain, params)
    zero = torch.zeros(CLASSES, FEATURES + 1, dtype=torch.float64)
    retrained, _ = optimum(kept, zero, run=Quiet(), phase="fit")
    old, _ = optimum(over(samples, cloud(1, 120), params), zero, run=Quiet(), phase="fit")

    new = head(samples, params)

    assert ((new - old) * (retrained - old)).sum() > 0
    assert (new - retrained).norm() < 0.3 * (old - retrained).norm()


def test_the_gradient_that_is_reported_is_that_of_the_stored_weights(samples: Problem) -> None:
    assert samples.retain
    facts = certified_removal(samples, BARE).facts
    residual = over(samples, samples.retain, BARE).gradient(head(samples, BARE)).norm().item()

    assert facts["gradient_norm"] == pytest.approx(residual)
    assert float(facts["gradient_norm"]) < 0.1 * float(facts["gradient_norm_before"])
    assert facts["newton_steps"] == 1
    assert str(facts["claim"]).startswith("none")
    assert "epsilon" not in facts


def test_the_budget_is_what_epsilon_allows_and_it_is_kept(samples: Problem) -> None:
    """A shift of the budget under N(0, σ²) costs ε; the first step does not suffice, a further one does."""
    params = CertifiedRemovalParams(noise=0.01, epsilon=0.5, delta=1e-4)
    facts = certified_removal(samples, params).facts

    assert epsilon_of(float(facts["gradient_budget"]) / 0.01, 1e-4) == pytest.approx(0.5)
    assert float(facts["gradient_norm_after_first_step"]) > float(facts["gradient_budget"])
    assert float(facts["gradient_norm"]) <= float(facts["gradient_budget"])
    assert int(facts["newton_steps"]) > 1


def test_a_budget_that_is_not_kept_gives_no_result(samples: Problem) -> None:
    with pytest.raises(NotConverged, match="1 Newton steps"):
        certified_removal(samples, CertifiedRemovalParams(noise=0.01, epsilon=0.5, delta=1e-4, steps=1))
    with pytest.raises(NotConverged, match="raise steps, σ or ε"):  # below what rounding leaves
        certified_removal(samples, CertifiedRemovalParams(noise=1e-9))


def test_the_layers_below_stay_bit_for_bit_and_the_report_says_what_they_know(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    outcome = certified_removal(problem, CertifiedRemovalParams())
    assert [name for name in problem.old if not torch.equal(problem.old[name], outcome.weights[name])] == [
        "2.weight",
        "2.bias",
    ]
    assert outcome.facts["certified_part"] == "2 alone; the layers below still know D_f"


def test_a_linear_network_is_certified_as_a_whole(samples: Problem) -> None:
    assert str(certified_removal(samples, BARE).facts["certified_part"]).startswith("all weights")


def test_where_the_deployed_head_stood_does_not_matter(samples: Problem) -> None:
    """The optimum on D is unique, and the noise is drawn from the request's seed."""
    elsewhere = replace(samples, old={name: 3 * theta + 1 for name, theta in samples.old.items()})
    params = CertifiedRemovalParams()
    torch.testing.assert_close(head(samples, params), head(elsewhere, params), rtol=1e-5, atol=1e-5)


def test_a_hessian_that_is_too_large_is_refused(samples: Problem) -> None:
    """3 classes, 7 inputs: 3·7² = 147 entries, or (3·7)² = 441."""
    certified_removal(samples, CertifiedRemovalParams(largest_hessian=147))
    with pytest.raises(TooLarge, match="147 entries of 8 bytes, and 146 are allowed"):
        certified_removal(samples, CertifiedRemovalParams(largest_hessian=146))
    with pytest.raises(TooLarge, match="441"):
        certified_removal(samples, CertifiedRemovalParams(loss="multinomial", largest_hessian=440))


def test_what_has_no_linear_head_and_what_is_empty_is_refused(samples: Problem) -> None:
    def squashed(seed: int) -> nn.Module:
        return nn.Sequential(linear(seed), nn.LogSoftmax(1))

    assert samples.retain
    with pytest.raises(Misfit, match="linear head"):
        certified_removal(replace(samples, build=squashed, old=squashed(1).state_dict()), BARE)
    with pytest.raises(EmptyExamples, match="empty"):
        certified_removal(replace(samples, retain=samples.retain.at(torch.arange(0))), BARE)
