"""`mask`: rectangles covered with a fill."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.transforms.mask import MaskParams
from worker.numerics.inpaint import inpaint


def apply(params: MaskParams, inputs: Tensor) -> Tensor:
    """Cover the rectangles.

    Args:
        params: the rectangles and their fill.
        inputs: `(B, C, H, W)` in [0, 1].

    Returns:
        The same shape.
    """
    return inputs.masked_fill(area(params, inputs.shape), params.fill / 255)


def remove(params: MaskParams, inputs: Tensor) -> Tensor:
    """Fill what is covered from its surroundings: what lay under the mask is gone, this is the best estimate of it."""
    return inpaint(inputs, area(params, inputs.shape))


def area(params: MaskParams, shape: Sequence[int]) -> Tensor:
    """The union of the rectangles, `(H, W)` bool, in images of shape `(..., H, W)`."""
    covered = torch.zeros(shape[-2], shape[-1], dtype=torch.bool)
    for r in params.rectangles:
        covered[r.top : r.top + r.height, r.left : r.left + r.width] = True
    return covered
