"""`patch`: one rectangle of one colour."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.transforms.patch import PatchParams
from worker.numerics.inpaint import inpaint


def apply(params: PatchParams, inputs: Tensor) -> Tensor:
    """Set the rectangle to its value, or each channel of it to its own.

    Args:
        params: the rectangle.
        inputs: `(B, C, H, W)` in [0, 1].

    Returns:
        The same shape.

    Source: Gu, Dolan-Gavitt & Garg, BadNets, 2017.
    """
    values = params.value if isinstance(params.value, list) else [params.value]
    colour = torch.tensor(values, dtype=inputs.dtype).view(-1, 1, 1) / 255
    return torch.where(area(params, inputs.shape), colour, inputs)


def remove(params: PatchParams, inputs: Tensor) -> Tensor:
    """Fill the rectangle from its surroundings: the best estimate of the image before."""
    return inpaint(inputs, area(params, inputs.shape))


def area(params: PatchParams, shape: Sequence[int]) -> Tensor:
    """The rectangle, `(H, W)` bool, in images of shape `(..., H, W)`."""
    covered = torch.zeros(shape[-2], shape[-1], dtype=torch.bool)
    covered[params.top : params.top + params.height, params.left : params.left + params.width] = True
    return covered
