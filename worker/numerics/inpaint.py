"""Filling in what was overwritten, from what surrounds it."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d


def inpaint(inputs: Tensor, unknown: Tensor) -> Tensor:
    """Grow the known pixels inwards, ring by ring, each new one the mean of its known neighbours.

        x(p) ← Σ_{q∈N(p)} k(q) x(q) / Σ_{q∈N(p)} k(q)        N: 3×3,  k: 1 where known, by then

    A constant image is restored; where nothing is known, everything becomes 0.5.

    Args:
        inputs: `(B, C, H, W)` in [0, 1]; not written to.
        unknown: `(H, W)` bool, the pixels to fill.

    Returns:
        `(B, C, H, W)`, equal to the inputs where known.
    """
    if unknown.all():
        return torch.full_like(inputs, 0.5)
    b, c, h, w = inputs.shape
    x = inputs.masked_fill(unknown, 0.0).reshape(b * c, 1, h, w)
    k = (~unknown).to(x.dtype).view(1, 1, h, w)
    neighbours = torch.ones(1, 1, 3, 3, dtype=x.dtype)
    while not k.all():
        total, weight = conv2d(x, neighbours, padding=1), conv2d(k, neighbours, padding=1)
        ring = (k == 0) & (weight > 0)
        x = torch.where(ring, total / weight.clamp(min=1), x)
        k = k.masked_fill(ring, 1.0)
    return x.view(b, c, h, w)
