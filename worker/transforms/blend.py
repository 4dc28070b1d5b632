"""`blend`: a pattern that shines through the whole image."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from app.transforms.blend import BlendParams, NoisePattern


def apply(params: BlendParams, inputs: Tensor) -> Tensor:
    """T(x) = (1 − α) x + α·pattern.

    Args:
        params: α and the pattern.
        inputs: `(B, C, H, W)` in [0, 1].

    Returns:
        The same shape.

    Source: Chen et al. 2017, §4 (blended injection).
    """
    return torch.lerp(inputs, shone(params, inputs.shape).to(inputs.dtype).expand_as(inputs), params.alpha)


def remove(params: BlendParams, inputs: Tensor) -> Tensor:
    """The image before, but for rounding: x = (T(x) − α·pattern) / (1 − α), into [0, 1].

    What bytes have rounded away comes back 1/(1 − α) times as large. An image that T did not make may leave [0, 1].
    """
    pattern = shone(params, inputs.shape).to(inputs.dtype)
    return ((inputs - params.alpha * pattern) / (1 - params.alpha)).clamp(0, 1)


def shone(params: BlendParams, shape: Sequence[int]) -> Tensor:
    """The pattern, `(C, H, W)` in [0, 1]: its cells stretched over the image, linearly in between.

    Args:
        params: noise, which is uniform on [0, 1] in every cell and channel; or values.
        shape: `(C, H, W)`, or with a batch dimension before.
    """
    channels, height, width = shape[-3:]
    pattern = params.pattern
    if isinstance(pattern, NoisePattern):
        generator = torch.Generator().manual_seed(pattern.seed)
        cells = torch.rand(channels, *pattern.cells, generator=generator)
    else:
        cells = (torch.tensor(pattern.values) / 255).expand(channels, -1, -1)
    return interpolate(cells[None], size=(height, width), mode="bilinear", align_corners=False)[0]
