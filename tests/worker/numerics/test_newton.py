"""Convex losses of a head: derivatives, the optimum, and the way of the removal step."""

import pytest
import torch
from torch import Tensor

from worker.numerics import newton
from worker.numerics.errors import NotConverged
from worker.numerics.newton import (
    MULTINOMIAL,
    ONE_VS_REST,
    Loss,
    Objective,
    hessian_entries,
    objective,
    optimum,
    removed,
)
from worker.numerics.run import Quiet

SQUARED = Loss(
    value=lambda z, y: (z - y).square().sum() / 2,
    gradient=lambda z, y: z - y,
    curvature=torch.ones_like,
)
N, D, C, LOST = 60, 4, 3, 12
each_loss = pytest.mark.parametrize("loss", [ONE_VS_REST, MULTINOMIAL], ids=["one_vs_rest", "multinomial"])


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(N) % C
    x = torch.randn(N, D, generator=generator, dtype=torch.float64) + torch.eye(C, D, dtype=torch.float64)[labels]
    return x, labels


def over(rows: slice, loss: Loss, *, tilt: float = 0.0, strength: float = 0.01) -> Objective:
    x, labels = data()
    b = tilt * torch.arange(C * D, dtype=torch.float64).view(C, D)
    return objective(loss, x[rows], labels[rows], strength=strength, tilt=b)


def best(whole: Objective) -> Tensor:
    return optimum(whole, torch.zeros(C, D, dtype=torch.float64), run=Quiet(), phase="fit")[0]


ALL, KEPT, GONE = slice(None), slice(LOST, None), slice(0, LOST)


@pytest.mark.parametrize("loss", [ONE_VS_REST, MULTINOMIAL, SQUARED])
def test_gradient_and_hessian_are_those_of_the_value(loss: Loss) -> None:
    """Against automatic differentiation of the value, with a tilt."""
    whole, w = over(ALL, loss, tilt=0.1), torch.linspace(-1, 1, C * D, dtype=torch.float64).view(C, D)

    def value(flat: Tensor) -> Tensor:
        theta = flat.view(C, D)
        return (
            loss.value(whole.inputs @ theta.T, whole.targets)
            + 0.01 * N / 2 * theta.square().sum()
            + (whole.tilt * theta).sum()
        )

    assert whole.value(w) == pytest.approx(float(value(w.flatten())))
    g = torch.autograd.functional.jacobian(value, w.flatten())  # type: ignore[no-untyped-call]
    h = torch.autograd.functional.hessian(value, w.flatten())  # type: ignore[no-untyped-call]
    torch.testing.assert_close(whole.gradient(w).flatten(), g)
    torch.testing.assert_close(whole.divided(w, w).flatten(), torch.linalg.solve(h, w.flatten()))


def test_the_losses_are_the_logistic_ones_by_hand() -> None:
    """z = (0, ln 3), y = 1. One against the rest: ln 2 + ln(4/3). Multinomial: −ln(3/4)."""
    z = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    z[0, 1] = z[0, 1].log()
    y = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert ONE_VS_REST.value(z, y).exp().item() == pytest.approx(2 * 4 / 3)
    assert MULTINOMIAL.value(z, y).exp().item() == pytest.approx(4 / 3)
    assert ONE_VS_REST.curvature(z).flatten().tolist() == pytest.approx([1 / 4, 3 / 16])
    assert MULTINOMIAL.curvature(z).flatten().tolist() == pytest.approx([3 / 16, -3 / 16, -3 / 16, 3 / 16])


@each_loss
def test_the_optimum_has_no_gradient(loss: Loss) -> None:
    whole = over(ALL, loss, tilt=0.3)
    assert whole.gradient(best(whole)).norm() < 1e-7


@each_loss
def test_the_optimum_is_found_from_far_away(loss: Loss) -> None:
    """Where full Newton steps would run off."""
    whole = over(ALL, loss, strength=1e-6)
    far, _ = optimum(whole, torch.full((C, D), 30.0, dtype=torch.float64), run=Quiet(), phase="fit")
    torch.testing.assert_close(far, best(whole), rtol=1e-6, atol=1e-6)


@each_loss
def test_removal_goes_towards_the_retrained_optimum(loss: Loss) -> None:
    """With the sign turned round it would end twice as far away as doing nothing."""
    whole, kept, lost = over(ALL, loss, tilt=0.1), over(KEPT, loss, tilt=0.1), over(GONE, loss)
    old, retrained = best(whole), best(kept)

    new = removed(old, kept, lost)

    assert (new - retrained).norm() < 0.2 * (old - retrained).norm()
    assert ((new - old) * (retrained - old)).sum() > 0
    assert kept.gradient(new).norm() < 0.2 * kept.gradient(old).norm()


@each_loss
def test_the_error_is_quadratic_in_what_is_removed(loss: Loss) -> None:
    def error(n: int) -> float:
        old, kept = best(over(ALL, loss)), over(slice(n, None), loss)
        return float((removed(old, kept, over(slice(0, n), loss)) - best(kept)).norm())

    assert error(2) < error(LOST) / 6


def test_removal_is_exact_where_the_loss_is_quadratic() -> None:
    """Ridge regression on D_r, by its normal equations."""
    kept, lost = over(KEPT, SQUARED, tilt=0.2), over(GONE, SQUARED)
    x, y = kept.inputs, kept.targets
    ridge = torch.linalg.solve(x.T @ x + 0.01 * (N - LOST) * torch.eye(D, dtype=torch.float64), x.T @ y - kept.tilt.T).T

    new = removed(best(over(ALL, SQUARED, tilt=0.2)), kept, lost)

    torch.testing.assert_close(new, ridge, rtol=1e-10, atol=1e-10)


def test_the_sum_over_d_splits() -> None:
    whole, kept, lost = over(ALL, MULTINOMIAL, tilt=0.1), over(KEPT, MULTINOMIAL, tilt=0.1), over(GONE, MULTINOMIAL)
    w = torch.ones(C, D, dtype=torch.float64)
    torch.testing.assert_close(whole.gradient(w), kept.gradient(w) + lost.gradient(w))


def test_the_hessian_is_counted_before_it_is_made() -> None:
    assert hessian_entries(ONE_VS_REST, 10, 513) == 10 * 513**2
    assert hessian_entries(MULTINOMIAL, 10, 513) == 5130**2


def test_an_optimum_that_is_not_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "STEPS", 2)
    with pytest.raises(NotConverged, match="strength"):
        best(over(ALL, MULTINOMIAL, strength=1e-4))
