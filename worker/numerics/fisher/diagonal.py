"""A Fisher diagonal as it is stored: float64 sums with a count, bound to the weights they were taken at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from worker.numerics.errors import EmptyExamples, Misfit, StaleFisher

NOISE_FLOOR = 8 * torch.finfo(torch.float32).eps
"""What of S_D a subtraction cannot tell from zero: c·eps, eps of the float32 in which gradients are computed."""


@dataclass(frozen=True)
class Fisher:
    """S = Σₙ (∂ℓₙ/∂θ)² over `count` samples at one θ."""

    sums: Mapping[str, Tensor]  # float64, shaped like the parameters, by their names
    count: int  # N
    weights_sha256: str = ""  # digest of θ; empty: not bound
    data_sha256: str = ""  # digest of the manifest and the preprocessing; empty: not bound
    below_noise_floor: int = 0  # entries that a subtraction took to be zero although S_D was not

    def check(self, *, weights_sha256: str, data_sha256: str) -> None:
        """Refuse a diagonal that was taken at other weights or over other data.

        Raises:
            StaleFisher: a digest differs.
        """
        for what, mine, asked in (
            ("weights", self.weights_sha256, weights_sha256),
            ("data", self.data_sha256, data_sha256),
        ):
            if mine != asked:
                raise StaleFisher(
                    f"the stored Fisher belongs to other {what} ({mine[:12] or 'unbound'},"
                    f" not {asked[:12]}): compute it again"
                )

    def diagonal(self) -> dict[str, Tensor]:
        """F = S / N, float64.

        Raises:
            EmptyExamples: it was taken over no samples.
        """
        if self.count < 1:
            raise EmptyExamples("a Fisher diagonal over no samples has no mean")
        return {name: total / self.count for name, total in self.sums.items()}

    def plus(self, other: "Fisher") -> Self:
        """S over two disjoint sets of samples at the same θ: sums and counts add up.

        Raises:
            Misfit: names or shapes differ.
        """
        matched(self.sums, other.sums)
        sums = {name: total + other.sums[name] for name, total in self.sums.items()}
        return replace(self, sums=sums, count=self.count + other.count)

    def minus(self, other: "Fisher") -> Self:
        """The diagonal over what is kept, without touching it.

            F_Dr = (S_D − S_f) / (N − N_f)       entries of S_D − S_f up to c·eps·S_D are zero

        Args:
            other: S_f over samples that are all among D, at the same θ.

        Raises:
            Misfit: names or shapes differ.
            StaleFisher: both are bound to weights, and to different ones.
            EmptyExamples: nothing is left.
        """
        matched(self.sums, other.sums)
        if self.weights_sha256 and other.weights_sha256 and self.weights_sha256 != other.weights_sha256:
            raise StaleFisher("the two Fisher diagonals were taken at different weights: compute both at the same")
        if other.count >= self.count:
            raise EmptyExamples(f"{other.count} of {self.count} samples are taken away: nothing is left to keep")
        sums, below = {}, 0
        for name, total in self.sums.items():
            left = total - other.sums[name]
            noise = left <= NOISE_FLOOR * total
            below += int((noise & (total > 0)).sum())
            sums[name] = left.masked_fill_(noise, 0.0)
        return type(self)(sums, self.count - other.count, weights_sha256=self.weights_sha256, below_noise_floor=below)


def ratio(forget: Fisher, retain: Fisher) -> dict[str, Tensor]:
    """How much more a weight matters to the forgotten than to the kept: DeepClean's r.

        r = F_Df / F_Dr        0/0 := 0 (a dead weight is never selected), x/0 = ∞ is kept

    Returns:
        float64, by parameter name, in [0, ∞].

    Source: Shi et al., DeepClean, 2023.
    """
    matched(forget.sums, retain.sums)
    kept = retain.diagonal()
    return {
        name: torch.where(lost > 0, lost / kept[name], torch.zeros_like(lost))
        for name, lost in forget.diagonal().items()
    }


def matched(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Check that both name the same tensors with the same shapes; order does not matter.

    Raises:
        Misfit: they do not; the sentence names the first difference.
    """
    if odd := sorted(left.keys() ^ right.keys()):
        raise Misfit(f"only one of the two has {odd[0]!r} ({len(odd)} such names)")
    for name, tensor in left.items():
        if tensor.shape != right[name].shape:
            raise Misfit(f"{name!r} is {tuple(tensor.shape)} in one and {tuple(right[name].shape)} in the other")
