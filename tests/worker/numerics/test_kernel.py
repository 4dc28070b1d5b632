"""What a linear model owes to some of its samples, against fitting it again."""

import pytest
import torch
from torch import Tensor

from worker.numerics.errors import NotConverged
from worker.numerics.kernel import Known, owed, regularisation

ROWS, WEIGHTS, LOST = 12, 30, 4


def samples() -> tuple[Known, Known]:
    generator = torch.Generator().manual_seed(0)
    j = torch.randn(ROWS, WEIGHTS, generator=generator, dtype=torch.float64)
    r = torch.randn(ROWS, generator=generator, dtype=torch.float64)
    return Known(j[LOST:], r[LOST:]), Known(j[:LOST], r[:LOST])


def fitted(known: Known, mu: float) -> Tensor:
    """w − w₀ by the normal equations in the space of the weights, not of the samples."""
    j = known.jacobian
    kernel = j.T @ j + mu * torch.eye(WEIGHTS, dtype=torch.float64)
    return torch.cholesky_solve((j.T @ known.residuals)[:, None], torch.linalg.cholesky(kernel)).squeeze(1)


def both(kept: Known, lost: Known) -> Known:
    return Known(torch.cat([kept.jacobian, lost.jacobian]), torch.cat([kept.residuals, lost.residuals]))


@pytest.mark.parametrize("mu", [10.0, 0.1, 1e-4])
def test_it_is_the_difference_of_the_two_fits(mu: float) -> None:
    kept, lost = samples()
    expected = fitted(kept, mu) - fitted(both(kept, lost), mu)
    torch.testing.assert_close(owed(kept, lost, mu), expected, rtol=1e-7, atol=1e-9)


def test_one_sample_and_one_weight_by_hand() -> None:
    """J_r = (1, 0), J_f = (1, 1), r = (1, 3), μ → 0: w_D = (1, 2), w_{D_r} = (1, 0), so −2 for the second weight."""
    kept = Known(torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    lost = Known(torch.tensor([[1.0, 1.0]], dtype=torch.float64), torch.tensor([3.0], dtype=torch.float64))
    assert owed(kept, lost, 1e-12).tolist() == pytest.approx([0, -2], abs=1e-9)


def test_without_a_ridge_nothing_moves_for_the_kept_samples() -> None:
    kept, lost = samples()
    shift = owed(kept, lost, 1e-10)
    assert (kept.jacobian @ shift).norm() < 1e-8
    assert (lost.jacobian @ shift).norm() > 0.1


def test_a_sample_that_the_others_predict_owes_nothing() -> None:
    kept, lost = samples()
    predicted = Known(lost.jacobian, lost.jacobian @ fitted(kept, 0.1))
    assert owed(kept, predicted, 0.1).norm() < 1e-10


def test_the_ridge_has_no_unit() -> None:
    """Mean squared gradient of all rows: (1·4 + 4 + 4·1)/3 = 4."""
    kept = Known(torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0]]), torch.zeros(2))
    lost = Known(torch.ones(1, 4), torch.zeros(1))
    assert regularisation(kept, lost, 0.5) == 2
    assert (
        regularisation(Known(3 * kept.jacobian, kept.residuals), Known(3 * torch.ones(1, 4), lost.residuals), 0.5) == 18
    )


def test_samples_that_cannot_be_told_apart_need_a_ridge() -> None:
    kept, lost = samples()
    twice = Known(torch.cat([kept.jacobian, kept.jacobian]), torch.cat([kept.residuals, kept.residuals]))
    with pytest.raises(NotConverged, match="raise the ridge"):
        owed(twice, lost, 1e-300)
    assert owed(twice, lost, 1e-3).isfinite().all()
