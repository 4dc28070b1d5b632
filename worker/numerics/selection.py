"""Which weights a method may touch: those with the largest scores, over all tensors together."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Selection(NamedTuple):
    """Which weights."""

    masks: Mapping[str, Tensor]  # bool, by parameter name
    threshold: float  # S = {i : s_i > threshold}
    size: int  # |S|
    of: int  # p

    @property
    def fraction(self) -> float:
        """|S| / p."""
        return self.size / self.of


def threshold(scores: Mapping[str, Tensor], fraction: float) -> float:
    """The score that at most this share of the weights exceeds: the (k+1)-th largest, k = ⌊fraction·p⌉, at least 1.

    Weights that tie at it stay out; so do those of score 0, whatever the fraction.

    Args:
        scores: s by name, in [0, ∞].
        fraction: between 0 and 1.
    """
    flat = torch.cat([s.flatten() for s in scores.values()])
    k = min(max(1, round(fraction * len(flat))), len(flat) - 1)
    return float(flat.kthvalue(len(flat) - k).values)


def select(scores: Mapping[str, Tensor], threshold: float) -> Selection:
    """S = {i : s_i > threshold}, over all tensors together."""
    masks = {name: s > threshold for name, s in scores.items()}
    return Selection(
        masks, threshold, sum(int(m.sum()) for m in masks.values()), sum(m.numel() for m in masks.values())
    )
