"""Method `single_gradient`: its step by hand, and what it undoes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from app.architectures.mlp import MlpParams
from app.core.params import Deployed
from app.methods.single_gradient import SingleGradientParams
from tests.worker.methods.conftest import in_shards
from worker.methods.single_gradient import rate_of_a_sample, single_gradient
from worker.numerics.errors import EmptyExamples, Misfit, NonFinite
from worker.numerics.examples import TensorExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.training import train
from worker.numerics.weights import weights_of

PLAIN = Recipe(0.1, epochs=4, batch_size=2, momentum=0.0, schedule="constant")


def line(_: int) -> nn.Module:
    """z = (θ₀x, θ₁x), at first with θ = 0."""
    net = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(net.weight)
    return net


def points(x: list[float], y: list[int]) -> TensorExamples:
    return TensorExamples(torch.tensor(x)[:, None], torch.tensor(y), torch.arange(len(x)))


def by_hand(recipe: Recipe) -> Problem:
    forget = points([2.0, 1.0], [0, 1])
    old = {"weight": torch.tensor([[1.0], [3.0]])}
    return Problem(line, old, 2, "A", 0, forget=forget, initial=weights_of(line(0)), recipe=recipe)


def test_the_step_by_hand() -> None:
    """At θ₀ = 0 both classes have ½: the gradients are (−½, ½)·2 and (½, −½)·1, in sum (−½, ½); m·η/B = 4·.1/2 = .2."""
    outcome = single_gradient(by_hand(PLAIN), SingleGradientParams())

    torch.testing.assert_close(outcome.weights["weight"], torch.tensor([[0.9], [3.1]]))
    assert outcome.facts["rate"] == pytest.approx(0.2)
    assert outcome.facts["step_norm"] == pytest.approx(0.2 * 0.5**0.5)
    assert "beyond_plain_sgd" not in outcome.facts


def test_the_gradient_is_that_of_the_loss_of_the_recipe() -> None:
    """Away from θ₀ = 0 the SD loss has a slope of its own: z = (1, −1)·x has deviation |x|, slope ±½γ·x."""
    recipe = replace(PLAIN, loss="sd", sd_strength=2.0)
    problem = replace(by_hand(recipe), initial={"weight": torch.tensor([[1.0], [-1.0]])})
    with_sd, without = (
        single_gradient(replace(problem, recipe=r), SingleGradientParams()).weights["weight"] for r in (recipe, PLAIN)
    )
    torch.testing.assert_close(with_sd - without, 0.2 * torch.tensor([[3.0], [-3.0]]))


@pytest.mark.parametrize(
    ("recipe", "rate"),
    [
        (PLAIN, 0.2),
        (replace(PLAIN, schedule="cosine"), 0.1),
        (replace(PLAIN, momentum=0.5), 0.4),
        (replace(PLAIN, batch_size=8), 0.05),
        (replace(PLAIN, epochs=1), 0.05),
    ],
)
def test_the_rate_is_how_far_training_went_along_one_gradient(recipe: Recipe, rate: float) -> None:
    assert rate_of_a_sample(recipe) == pytest.approx(rate)


def test_what_one_small_step_of_training_did_is_undone() -> None:
    """After one batch the first order is all there is: what is left is that of the other sample."""
    data = points([2.0, 1.0, -1.0, 3.0], [0, 1, 1, 0])
    recipe = replace(PLAIN, epochs=1, batch_size=4)
    old = train(line, recipe, data, seed=0)
    forget = data.at(torch.tensor([0, 1]))
    problem = Problem(line, old, 2, "A", 0, forget=forget, initial=weights_of(line(0)), recipe=recipe)

    new = single_gradient(problem, SingleGradientParams()).weights

    rest = 0.1 / 4 * torch.tensor([[1.0], [-1.0]])  # −η/B of (½, −½)·(−1) + (−½, ½)·3 = (−2, 2)
    torch.testing.assert_close(new["weight"], 2 * rest)


def test_momentum_is_unrolled_too() -> None:
    """A linear objective has the same gradient everywhere; with β = .9 its m steps end up to 1/(1−β) times as far."""
    recipe = replace(PLAIN, momentum=0.9, learning_rate=1e-6, epochs=400, batch_size=4)
    data = points([2.0, 1.0, -1.0, 3.0], [0, 1, 1, 0])
    old = train(line, recipe, data, seed=0)
    problem = Problem(line, old, 2, "A", 0, forget=data, initial=weights_of(line(0)), recipe=recipe)

    outcome = single_gradient(problem, SingleGradientParams())

    assert outcome.facts["beyond_plain_sgd"] == "momentum"
    assert outcome.weights["weight"].norm() < 0.05 * old["weight"].norm()


def test_what_goes_beyond_plain_sgd_is_said(problems: dict[Pattern, Problem]) -> None:
    assert single_gradient(problems["A"], SingleGradientParams()).facts["beyond_plain_sgd"] == "momentum, weight_decay"


def test_adam_shards_and_nothing_are_errors(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.recipe
    assert problem.forget
    for wrong, error in (
        (replace(problem, recipe=replace(problem.recipe, optimizer="adam")), Misfit),
        (in_shards(problem), Misfit),
        (replace(problem, forget=problem.forget.at(torch.tensor([], dtype=torch.int64))), EmptyExamples),
        (by_hand(replace(PLAIN, learning_rate=1e39)), NonFinite),
    ):
        with pytest.raises(error):
            single_gradient(wrong, SingleGradientParams())


def test_a_model_that_it_cannot_unroll_is_refused_beforehand() -> None:
    network = MlpParams(input_shape=(4,), classes=2)
    params = SingleGradientParams()
    assert params.misfit(Deployed(network, 9, frozenset({"single_gradient"}), optimizer="sgd")) is None
    assert "Adam" in (params.misfit(Deployed(network, 9, optimizer="adam")) or "")
    assert "retrain" in (params.misfit(Deployed(network, 9, frozenset({"retrain"}), optimizer="sgd")) or "")
