"""What a linear model owes to some of its samples, from the kernel of its gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from worker.numerics.errors import NotConverged


class Known(NamedTuple):
    """Samples as kernel regression sees them: where they push the weights, and how far."""

    jacobian: Tensor  # J, (n, P) float64
    residuals: Tensor  # y − f(w₀), (n,) float64


def regularisation(kept: Known, lost: Known, ridge: float) -> float:
    """μ = ridge · mean of the diagonal of Θ over all samples, so that `ridge` has no unit."""
    squares = torch.cat([known.jacobian.square().sum(1) for known in (kept, lost)])
    return ridge * float(squares.mean())


def owed(kept: Known, lost: Known, mu: float) -> Tensor:
    """What the weights of a linear model owe to the lost samples: w_{D_r} − w_D, both fitted from w₀.

        w_D = argmin ½‖J(w − w₀) − (y − f(w₀))‖² + μ/2 ‖w − w₀‖²       likewise w_{D_r}
        w_{D_r} − w_D = −P J_fᵀ S⁻¹ (r_f − Θ_fr A⁻¹ r_r)
        A = Θ_rr + μI,   S = Θ_ff + μI − Θ_fr A⁻¹ Θ_rf,   P J_fᵀ = J_fᵀ − J_rᵀ A⁻¹ Θ_rf,   Θ_ab = J_a J_bᵀ

    For μ → 0, P projects onto what is orthogonal to the gradients of all kept samples: J_r P J_fᵀ = μA⁻¹Θ_rf, so that
    no answer on D_r changes.

    Args:
        kept: D_r: J_r, r_r.
        lost: D_f: J_f, r_f.
        mu: μ > 0.

    Returns:
        `(P,)`, to be added to w_D.

    Raises:
        NotConverged: Θ + μI is not positive definite in float64.

    Source: Golatkar, Achille & Soatto, Forgetting Outside the Box, 2020, §4 (equation of the optimal scrubbing
        function), with a ridge.
    """
    j_r, j_f = kept.jacobian, lost.jacobian
    cross = j_r @ j_f.T
    factor = _factor(j_r @ j_r.T, mu)
    solved = torch.cholesky_solve(torch.cat([cross, kept.residuals[:, None]], 1), factor)
    through, known = solved[:, :-1], solved[:, -1]
    schur = _factor(j_f @ j_f.T - cross.T @ through, mu)
    surprise = lost.residuals - cross.T @ known
    weights = torch.cholesky_solve(surprise[:, None], schur).squeeze(1)
    return j_r.T @ (through @ weights) - j_f.T @ weights


def _factor(kernel: Tensor, mu: float) -> Tensor:
    """The Cholesky factor of Θ + μI."""
    kernel.diagonal().add_(mu)
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(kernel)
    if int(failed):
        raise NotConverged("samples are too much alike to be told apart by their gradients: raise the ridge")
    return factor
