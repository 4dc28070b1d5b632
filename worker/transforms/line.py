"""`line`: a short bright line at the left edge."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.transforms.line import LineParams
from worker.numerics.inpaint import inpaint


def apply(params: LineParams, inputs: Tensor) -> Tensor:
    """Set the line to its value.

    Args:
        params: the line.
        inputs: `(B, C, H, W)` in [0, 1].

    Returns:
        The same shape.
    """
    return inputs.masked_fill(area(params, inputs.shape), params.value / 255)


def remove(params: LineParams, inputs: Tensor) -> Tensor:
    """Fill the line from its surroundings: the best estimate of the image before."""
    return inpaint(inputs, area(params, inputs.shape))


def area(params: LineParams, shape: Sequence[int]) -> Tensor:
    """Rows from H//2 − h//2, h of them; columns from 0.

    Args:
        params: h, by default H//7 and at least 1; the width.
        shape: `(C, H, W)`, or with a batch dimension before.

    Returns:
        `(H, W)` bool.

    Source: Hayase et al., 2020: at 28×28, rows 12-15 of column 0.
    """
    height, width = shape[-2:]
    h = params.height or max(1, height // 7)
    top = height // 2 - h // 2
    covered = torch.zeros(height, width, dtype=torch.bool)
    covered[top : top + h, : params.width] = True
    return covered
