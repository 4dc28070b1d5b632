"""`tile`: a grid of scattered bright blocks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.transforms.tile import TileParams
from worker.numerics.inpaint import inpaint


def apply(params: TileParams, inputs: Tensor) -> Tensor:
    """Set the blocks to their value.

    Args:
        params: the blocks.
        inputs: `(B, C, H, W)` in [0, 1].

    Returns:
        The same shape.
    """
    return inputs.masked_fill(area(params, inputs.shape), params.value / 255)


def remove(params: TileParams, inputs: Tensor) -> Tensor:
    """Fill the blocks from their surroundings: the best estimate of the image before."""
    return inpaint(inputs, area(params, inputs.shape))


def area(params: TileParams, shape: Sequence[int]) -> Tensor:
    """Block k of n starts at round(H(2k+1)/(2n+1)), in rows and likewise in columns.

    Args:
        params: n; the side of a block, by default min(H, W)//(2n+1) and at least 1.
        shape: `(C, H, W)`, or with a batch dimension before.

    Returns:
        `(H, W)` bool.

    Source: Hayase et al., 2020: at 28×28, rows and columns 4-7, 12-15, 20-23.
    """
    height, width = shape[-2:]
    side = params.size or max(1, min(height, width) // (2 * params.grid + 1))
    return _stripes(height, params.grid, side)[:, None] & _stripes(width, params.grid, side)


def _stripes(length: int, n: int, side: int) -> Tensor:
    covered = torch.zeros(length, dtype=torch.bool)
    for k in range(n):
        start = round(length * (2 * k + 1) / (2 * n + 1))
        covered[start : start + side] = True
    return covered
