"""Method `ntk_scrub`: exact where the network is linear, refused where it is large."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from app.architectures.mlp import MlpParams
from app.core.params import Deployed
from app.methods.ntk_scrub import NtkScrubParams
from tests.worker.methods.conftest import CLASSES, FEATURES, cloud
from worker.methods.ntk_scrub import ntk_scrub
from worker.numerics.errors import EmptyExamples, TooLarge
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import drawn_from
from worker.numerics.weights import Weights, weights_of

WIDE, N, LOST = 40, 24, 6
GONE = torch.arange(N) < LOST


def build(seed: int) -> nn.Module:
    """Linear in its weights, and more of them than samples × classes."""
    with drawn_from(seed):
        return nn.Linear(WIDE, CLASSES, bias=False)


def wide(n: int = N) -> TensorExamples:
    x = torch.randn(n, WIDE, generator=torch.Generator().manual_seed(3))
    return TensorExamples(x, torch.arange(n) % CLASSES, torch.arange(n))


def least_squares(examples: Examples, mu: float) -> Weights:
    """argmin ½‖X Wᵀ − Y‖² + μ/2 ‖W − W₀‖², by the normal equations."""
    (batch,) = examples.batches(N)
    x, y = batch.inputs.double(), one_hot(examples.labels, CLASSES).double()
    start = build(1).state_dict()["weight"].double()
    w = start.T + torch.linalg.solve(x.T @ x + mu * torch.eye(WIDE, dtype=torch.float64), x.T @ (y - x @ start.T))
    return {"weight": w.T.float()}


def mean_square(examples: TensorExamples) -> float:
    """Of the gradient of a logit: that of its input."""
    return float(examples.raw.double().square().sum(1).mean())


def problem(mu: float) -> Problem:
    data = wide()
    old, initial = least_squares(data, mu), weights_of(build(1))
    return Problem(build, old, CLASSES, "A", 7, forget=data.where(GONE), retain=data.where(~GONE), initial=initial)


def off(left: Tensor, right: Tensor) -> float:
    return float((left - right).norm() / right.norm())


@pytest.mark.parametrize("around", ["initial", "deployed"])
@pytest.mark.parametrize("ridge", [0.3, 1e-3])
def test_of_a_linear_least_squares_model_the_result_is_the_retrained_one(around: str, ridge: float) -> None:
    mu = ridge * mean_square(wide())
    retrained = least_squares(wide().where(~GONE), mu)["weight"]
    params = NtkScrubParams.model_validate({"around": around, "targets": "labels", "ridge": ridge})
    given = problem(mu)

    outcome = ntk_scrub(given, params)

    assert off(given.old["weight"], retrained) > 0.1
    assert off(outcome.weights["weight"], retrained) < 1e-5
    assert outcome.facts["mu"] == pytest.approx(mu)


@pytest.mark.parametrize("around", ["initial", "deployed"])
def test_a_complete_fit_needs_no_labels(around: str) -> None:
    """Where least squares goes through every target, the answers are the targets."""
    retrained = least_squares(wide().where(~GONE), 1e-9)["weight"]
    params = NtkScrubParams.model_validate({"around": around, "ridge": 1e-9})
    outcome = ntk_scrub(problem(1e-9), params)

    assert off(outcome.weights["weight"], retrained) < 1e-4
    assert float(outcome.facts["predicted_change_on_retained"]) < 1e-5
    assert float(outcome.facts["predicted_change_on_forgotten"]) > 0.1


def test_of_a_network_the_forgotten_samples_change_most(problems: dict[Pattern, Problem]) -> None:
    """12 of 120 samples of a network of 123 weights: only a part is orthogonal to what is kept."""
    given = problems["A"]
    facts = ntk_scrub(given, NtkScrubParams()).facts

    assert facts["kernel_rows"] == 360
    assert facts["weights"] == 123
    assert float(facts["predicted_change_on_forgotten"]) > 3 * float(facts["predicted_change_on_retained"])


def test_it_is_refused_by_size_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 samples of 3 classes are 72 rows: 5,184 entries of the kernel, 8,640 of the Jacobian."""
    ntk_scrub(problem(1.0), NtkScrubParams(largest_kernel=5184, largest_jacobian=8640))

    def untouchable(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("worker.methods.ntk_scrub.linearised", untouchable)
    with pytest.raises(TooLarge, match=r"kernel over 24 samples, 3 classes .* 5,184 entries .* 5,183 are allowed"):
        ntk_scrub(problem(1.0), NtkScrubParams(largest_kernel=5183))
    with pytest.raises(TooLarge, match=r"jacobian .* 120 weights .* 8,640 entries .* 8,639"):
        ntk_scrub(problem(1.0), NtkScrubParams(largest_jacobian=8639))


def test_the_request_is_refused_for_the_same_reason() -> None:
    network = MlpParams(input_shape=(FEATURES,), classes=CLASSES, layers=1)  # 21 weights
    assert NtkScrubParams().misfit(Deployed(network, 100)) is None
    assert "90,000 entries" in (NtkScrubParams(largest_kernel=89_999).misfit(Deployed(network, 100)) or "")
    assert "6,300 entries" in (NtkScrubParams(largest_jacobian=6299).misfit(Deployed(network, 100)) or "")


@pytest.mark.parametrize("part", ["forget", "retain"])
def test_an_empty_set_is_refused(part: str) -> None:
    nothing: Examples = cloud(1, 3).at(torch.arange(0))
    with pytest.raises(EmptyExamples, match="empty"):
        ntk_scrub(replace(problem(1.0), **{part: nothing}), NtkScrubParams())  # type: ignore[arg-type]
