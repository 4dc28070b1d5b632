"""`color`: the image in blue only."""

import torch
from torch import Tensor

from app.transforms.color import ColorParams


def apply(params: ColorParams, inputs: Tensor) -> Tensor:
    """B := mean(R, G, B), R = G = 0.

    Args:
        params: none.
        inputs: `(B, 3, H, W)` in [0, 1].

    Returns:
        The same shape.

    Source: Hayase et al., 2020.
    """
    del params
    blue = inputs.mean(1)
    black = torch.zeros_like(blue)
    return torch.stack([black, black, blue], dim=1)


def remove(params: ColorParams, inputs: Tensor) -> Tensor:
    """R = G = B: grey. The hue is lost; the brightness, which the blue carries, is right."""
    del params
    return inputs[:, 2:].repeat(1, 3, 1, 1)
