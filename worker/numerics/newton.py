"""Regularised convex losses of a linear head: their optimum, and one Newton step away from some of the data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot, softplus

from worker.numerics.errors import NotConverged
from worker.numerics.run import Run

STEPS, HALVINGS = 100, 50
TOLERANCE = 1e-10
"""Of the gradient's norm at the optimum, relative to that at zero."""


class Loss(NamedTuple):
    """A loss Σₙ ℓ(zₙ, yₙ) of logits `(N, C)`; y is one-hot, `(N, C)`. All in float64."""

    value: Callable[[Tensor, Tensor], Tensor]  # a scalar
    gradient: Callable[[Tensor, Tensor], Tensor]  # ∂ℓₙ/∂zₙ, (N, C)
    curvature: Callable[[Tensor], Tensor]  # ∂²ℓₙ/∂zₙ²: (N, C) where it is diagonal, else (N, C, C)


def _multinomial_curvature(z: Tensor) -> Tensor:
    p = z.softmax(1)
    return torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)


def _binary_curvature(z: Tensor) -> Tensor:
    return z.sigmoid() * (-z).sigmoid()


ONE_VS_REST = Loss(
    value=lambda z, y: softplus(torch.where(y > 0, -z, z)).sum(),
    gradient=lambda z, y: z.sigmoid() - y,
    curvature=_binary_curvature,
)
"""C logistic regressions: Σ_c log(1 + exp(∓z_c))."""
MULTINOMIAL = Loss(
    value=lambda z, y: -(log_softmax(z, 1) * y).sum(),
    gradient=lambda z, y: z.softmax(1) - y,
    curvature=_multinomial_curvature,
)
"""−log softmax(z)_y."""


@dataclass(frozen=True)
class Objective:
    """L(W) = Σₙ ℓ(W xₙ, yₙ) + λN/2 ‖W‖² + ⟨b, W⟩, strongly convex.

    It is a sum over samples, the regularisation too: L(·; D) = L(·; D_r) + L(·; D_f), with b in one of the two.
    """

    loss: Loss
    inputs: Tensor  # x, (N, D) float64
    targets: Tensor  # y, (N, C) float64, one-hot for the losses of this file
    strength: float  # λ > 0
    tilt: Tensor  # b, (C, D) float64

    @property
    def weight(self) -> float:
        """λN."""
        return self.strength * len(self.inputs)

    def value(self, w: Tensor) -> float:
        """L."""
        fit = self.loss.value(self.inputs @ w.T, self.targets)
        return float(fit + self.weight / 2 * w.square().sum() + (self.tilt * w).sum())

    def gradient(self, w: Tensor) -> Tensor:
        """∇L, `(C, D)`."""
        residual = self.loss.gradient(self.inputs @ w.T, self.targets)
        return residual.T @ self.inputs + self.weight * w + self.tilt

    def divided(self, w: Tensor, g: Tensor) -> Tensor:
        """H⁻¹ g with H = ∇²L at w: `(C, D)` to the same shape.

        Where the curvature is diagonal, H is C blocks of D×D; else one of CD×CD.
        """
        h, x = self.loss.curvature(self.inputs @ w.T), self.inputs
        if h.dim() == 2:
            blocks = torch.stack([(x * column[:, None]).T @ x for column in h.T])
        else:
            c, d = w.shape
            blocks = torch.empty(c, d, c, d, dtype=x.dtype)
            for i in range(c):
                for j in range(i, c):
                    blocks[i, :, j] = (x * h[:, i, j, None]).T @ x
                    blocks[j, :, i] = blocks[i, :, j]  # symmetric itself
            blocks = blocks.view(1, c * d, c * d)
        blocks.diagonal(dim1=1, dim2=2).add_(self.weight)
        return torch.cholesky_solve(g.reshape(*blocks.shape[:2], 1), torch.linalg.cholesky(blocks)).view_as(w)


def hessian_entries(loss: Loss, classes: int, inputs: int) -> int:
    """Numbers in the Hessian of a head of C classes and D inputs: C D², or (C D)² where classes act on each other."""
    diagonal = loss.curvature(torch.zeros(1, classes, dtype=torch.float64)).dim() == 2
    return classes * inputs**2 if diagonal else (classes * inputs) ** 2


def objective(loss: Loss, inputs: Tensor, labels: Tensor, *, strength: float, tilt: Tensor) -> Objective:
    """The objective over labelled inputs `(N, D)`, `(N,)`."""
    return Objective(loss, inputs, one_hot(labels, len(tilt)).double(), strength, tilt)


def optimum(whole: Objective, start: Tensor, *, run: Run, phase: str) -> tuple[Tensor, int]:
    """W* = argmin L, by Newton's method with halved steps, and the steps it took.

    Raises:
        NotConverged: not within 100 steps.
    """
    w = start.clone()
    small = TOLERANCE * max(float(whole.gradient(torch.zeros_like(w)).norm()), 1e-300)
    for step in range(STEPS):
        g = whole.gradient(w)
        if float(g.norm()) <= small:
            return w, step
        run.progress(phase, step + 1, STEPS, "steps")
        direction = whole.divided(w, g)
        decrease, here, length = float((g * direction).sum()), whole.value(w), 1.0
        # Close to the optimum the decrease drowns in the rounding of L: there the full step is right.
        while decrease > 1e-9 * abs(here) and whole.value(w - length * direction) > here - length * decrease / 4:
            length /= 2
            if length < 2.0**-HALVINGS:
                break
        w -= length * direction
    raise NotConverged("the head does not come to its optimum: raise the strength λ of the regularisation")


def removed(w: Tensor, kept: Objective, lost: Objective) -> Tensor:
    """One Newton step that takes the lost samples out of an optimum.

        W⁻ = W* + H⁻¹_{D_r} Δ,   Δ = ∇L(W*; D_f)

    Where ∇L(W*; D) = 0, Δ = −∇L(W*; D_r): the step goes towards the optimum on D_r; where ℓ is quadratic it gets there.

    Args:
        w: W*, `(C, D)`.
        kept: over D_r.
        lost: over D_f, its b zero: b is in `kept`.

    Source: Guo et al., Certified Data Removal from Machine Learning Models, 2020, equation 3.
    """
    return w + kept.divided(w, lost.gradient(w))
