"""A linear layer in closed form, so that what a transform does to the inputs does not reach its output."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import nan

import torch
from torch import Tensor, nn

from worker.numerics.features import heard_by

MOST_FEATURES = 8192
"""Of the layer's input: the normal equations take their square in memory, and their cube in time."""
RIDGE = 0.01
"""Of the mean square of the features."""


@dataclass(frozen=True)
class Refit:
    """What came of it."""

    written: Tensor  # features that T overwrites, bool (D,): their columns of W′ are 0
    explained: float  # share of the variance of W h(z) + b that is left in W′ h(T(z)) + b′: R²


def first_linear(network: nn.Module, inputs: Tensor) -> tuple[str, nn.Linear] | None:
    """The linear layer that first sees one vector of features for each input, and its name; None if none does.

    Args:
        network: is called once.
        inputs: `(B, *S)`.
    """
    linears = {module: name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    with heard_by(linears) as heard, torch.no_grad():
        network(inputs)
    return next(((linears[linear], linear) for linear, given in heard if given.dim() == 2), None)


def refit(network: nn.Module, linear: nn.Linear, pairs: Iterable[tuple[Tensor, Tensor]]) -> Refit:
    """Let a linear layer answer z and T(z) as it answers z, as far as one linear map can.

        W′, b′ = argmin Σ_z ‖W′ h(T(z)) + b′ − y(z)‖² + ‖W′ h(z) + b′ − y(z)‖² + λ ‖W′ − W‖²,   y(z) = W h(z) + b
        W′_j = 0 for every feature j that T overwrites: the same in all T(z), another in some z

    The minimum is global and is found by the normal equations; λ is `RIDGE` times their mean diagonal. What an
    overwritten feature said is told from the others, and no answer depends on it any more. In a perceptron the features
    are the pixels: for a T that overwrites some of them the network becomes blind to T exactly. Behind convolutions T
    is in all features, and what is left of it is least.

    Args:
        network: θ, in eval mode.
        linear: a layer of it that sees one vector of at most `MOST_FEATURES` features; its weights are written to.
        pairs: network inputs z and T(z), each `(B, *S)`, batch by batch; at least one.

    Returns:
        The features that T overwrites, and how well it worked on these z.

    Source: ours. Erasing a concept from features by one affine map: Belrose et al., LEACE, 2023.
    """
    sums = _Sums(linear)
    with torch.no_grad():
        for z, changed in pairs:
            sums.add(features(network, linear, z), features(network, linear, changed))
        return sums.solve()


def features(network: nn.Module, linear: nn.Linear, inputs: Tensor) -> Tensor:
    """What the layer is given first, `(B, D)`."""
    with heard_by([linear]) as heard:
        network(inputs)
    return heard[0][1]


class _Sums:
    """The normal equations, in float64; a column of ones stands for the bias."""

    def __init__(self, linear: nn.Linear) -> None:
        d, c = linear.in_features, linear.out_features
        self._linear = linear
        self._plain, self._changed = torch.zeros(2, d + 1, d + 1, dtype=torch.float64)  # Σ h hᵀ of z, of T(z)
        self._plain_y, self._changed_y = torch.zeros(2, d + 1, c, dtype=torch.float64)  # Σ h y(z)ᵀ
        self._squared_y = torch.zeros(c, dtype=torch.float64)  # Σ y(z)²
        self._ranges = torch.full((4, d), nan)  # least and largest h(z), least and largest h(T(z))

    def add(self, plain: Tensor, changed: Tensor) -> None:
        """One batch: h(z) and h(T(z))."""
        y = self._linear(plain)
        first, second = (torch.cat([h, h.new_ones(len(h), 1)], 1) for h in (plain, changed))
        self._plain += first.T @ first
        self._changed += second.T @ second
        self._plain_y += first.T @ y
        self._changed_y += second.T @ y
        self._squared_y += y.double().square().sum(0)
        least, largest, least_changed, largest_changed = self._ranges
        self._ranges = torch.stack(
            [
                least.fmin(plain.amin(0)),
                largest.fmax(plain.amax(0)),
                least_changed.fmin(changed.amin(0)),
                largest_changed.fmax(changed.amax(0)),
            ]
        )

    def solve(self) -> Refit:
        """Write W′ and b′."""
        least, largest, least_changed, largest_changed = self._ranges
        written = (least_changed == largest_changed) & ((least != least_changed) | (largest != least_changed))
        weight, bias = self._linear.weight, dict(self._linear.named_parameters()).get("bias")
        old = torch.cat([weight.T, (weight.new_zeros(len(weight)) if bias is None else bias)[None]]).double()
        kept = torch.cat([~written, torch.tensor([bias is not None])]).nonzero().flatten()
        normal = (self._plain + self._changed)[kept][:, kept]
        right = (self._plain_y + self._changed_y)[kept] - normal @ old[kept]
        held = normal.diagonal()[: int((~written).sum())]  # a view, less the bias
        held += RIDGE * held.mean().clamp(min=torch.finfo(normal.dtype).tiny)
        new = torch.zeros_like(old)
        new[kept] = old[kept] + torch.linalg.solve(normal, right)
        weight.copy_(new[:-1].T)
        if bias is not None:
            bias.copy_(new[-1])
        return Refit(written, self._explained(new))

    def _explained(self, new: Tensor) -> float:
        """1 − Σ ‖W′ h(T(z)) + b′ − y(z)‖² / Σ ‖y(z) − ȳ‖²."""
        missed = self._squared_y - 2 * (new * self._changed_y).sum(0) + (new * (self._changed @ new)).sum(0)
        spread = self._squared_y - self._plain_y[-1].square() / self._plain[-1, -1]
        return 1 - float(missed.sum() / spread.sum().clamp(min=torch.finfo(spread.dtype).tiny))
