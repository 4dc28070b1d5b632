"""What can be given to the fused squares, on a CPU (`fused_cpu`) as on a GPU (`fused_cuda`)."""

from itertools import starmap

import torch
from torch import Tensor

Pair = tuple[int, ...]
"""Two numbers: along the height, along the width."""


def check_products(g: Tensor, a: Tensor, out: Tensor) -> None:
    """What is given to `squared_products` can be taken."""
    if g.dim() != 3 or a.dim() != 3 or g.shape[:2] != a.shape[:2] or out.shape != (g.shape[2], a.shape[2]):
        raise ValueError(f"g, a and out do not belong together: {_shapes(g, a, out)}")
    _check_memory(g, a, out)


def check_convolution(
    g: Tensor, a: Tensor, out: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """What is given to `squared_convolution` can be taken."""
    if g.dim() != 4 or a.dim() != 4 or out.dim() != 4:
        raise ValueError(f"g, a and out need four dimensions: {_shapes(g, a, out)}")
    sizes = zip(a.shape[2:], out.shape[2:], stride, padding, dilation, strict=True)
    fitting = (a.shape[0], out.shape[0], *starmap(_positions, sizes))
    if g.shape != fitting or out.shape[0] % groups or a.shape[1] != out.shape[1] * groups:
        raise ValueError(f"g, a and out do not belong together: {_shapes(g, a, out)}")
    _check_memory(g, a, out)


def _check_memory(g: Tensor, a: Tensor, out: Tensor) -> None:
    if any(t.dtype != torch.float32 for t in (g, a, out)):
        raise TypeError("the fused squares are for float32; form others with torch")
    if not out.is_contiguous():
        raise ValueError("the squares are added to contiguous memory only")


def _positions(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _shapes(*tensors: Tensor) -> str:
    return ", ".join(str(tuple(t.shape)) for t in tensors)
