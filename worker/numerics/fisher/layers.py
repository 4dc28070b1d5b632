"""Summed squares of per-sample weight gradients, one formula for each kind of layer.

Each takes what went into the layer, a, and the gradient of the loss at what came out, g. Per-sample gradients are
formed only where no shorter expression exists, and then chunk by chunk: never all of (B × P).
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

CHUNK_FLOATS = 2**22
"""At most so many numbers of per-sample products at a time: 16 MiB in float32. More is not faster."""

Squares = dict[str, Tensor]
"""Σₙ (∂ℓₙ/∂θ)² by parameter name."""

LayerSquares = Callable[[nn.Module, Mapping[str, Tensor], Tensor, Tensor], Squares]
"""Layer, its tensors by short name, a, g -> squares by short name."""


class Uncovered(Exception):
    """No formula here gives this layer's squares."""


def linear(layer: nn.Module, tensors: Mapping[str, Tensor], a: Tensor, g: Tensor) -> Squares:
    """Fully connected: y = W a + b.

        Σₙ (gₙ aₙᵀ)² = (G∘G)ᵀ(A∘A)          no positions: one matmul, no per-sample gradient
        Σₙ (Σ_t g_nt a_ntᵀ)²                 T positions

    Args:
        layer: `nn.Linear`.
        tensors: its weight `(O, I)` and bias `(O,)`.
        a: `(B, I)` or `(B, *T, I)`.
        g: `(B, O)` or `(B, *T, O)`.
    """
    del layer
    if a.dim() == 1:
        raise Uncovered("no batch dimension")
    if a.dim() == 2:
        squared = g.square()
        weight, bias = squared.T @ a.square(), squared.sum(0)
    else:
        a, g = a.flatten(1, -2), g.flatten(1, -2)
        weight, bias = products(g.mT, a.mT), g.sum(1).square().sum(0)
    return {"weight": weight, "bias": bias} if "bias" in tensors else {"weight": weight}


def convolution(layer: nn.Module, tensors: Mapping[str, Tensor], a: Tensor, g: Tensor) -> Squares:
    """Convolution with groups, strides and dilation: a matmul over the L positions of unfolded patches.

        Σₙ (Σ_l g_nl patch_nlᵀ)²

    Args:
        layer: `nn.Conv2d` with zero padding given in numbers.
        tensors: its weight `(O, I/groups, h, w)` and bias `(O,)`.
        a: `(B, I, H, W)`.
        g: `(B, O, H′, W′)`.
    """
    conv = cast("nn.Conv2d", layer)
    if a.dim() != 4 or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise Uncovered("padding by name or mode, or no batch dimension")
    groups, shape = conv.groups, tensors["weight"].shape
    g = g.flatten(2)
    samples = max(1, CHUNK_FLOATS // (shape[1:].numel() * groups * g.shape[2]))
    weight = torch.zeros(groups, shape[0] // groups, shape[1:].numel(), dtype=g.dtype, device=g.device)
    for some_a, some_g in zip(torch.split(a, samples), torch.split(g, samples), strict=True):
        patches = unfold(some_a, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
        for k, (theirs, ours) in enumerate(zip(patches.chunk(groups, 1), some_g.chunk(groups, 1), strict=True)):
            weight[k] += products(ours, theirs)
    squares = {"weight": weight.view(shape)}
    return squares | {"bias": g.sum(2).square().sum(0)} if "bias" in tensors else squares


def normalisation(layer: nn.Module, tensors: Mapping[str, Tensor], a: Tensor, g: Tensor) -> Squares:
    """BatchNorm in eval mode: y = γ â + β with â = (a − μ)/√(σ² + ε), the stored statistics.

        Σₙ (Σ_l g_nl â_nl)²   and   Σₙ (Σ_l g_nl)²

    Args:
        layer: `nn.BatchNorm1d` or `nn.BatchNorm2d`.
        tensors: weight γ, bias β, running_mean μ, running_var σ²; each `(C,)`.
        a: `(B, C, *L)`.
        g: the same shape.
    """
    norm = cast("nn.BatchNorm2d", layer)
    if "running_mean" not in tensors or a.dim() < 2:
        raise Uncovered("no stored statistics")
    a, g = (t.reshape(*t.shape[:2], -1) for t in (a, g))
    scale = (tensors["running_var"] + norm.eps).rsqrt()
    standard = (a - tensors["running_mean"][:, None]) * scale[:, None]
    return {"weight": (g * standard).sum(2).square().sum(0), "bias": g.sum(2).square().sum(0)}


def products(g: Tensor, a: Tensor) -> Tensor:
    """Σₙ (gₙ aₙᵀ)², a chunk of samples at a time.

    Args:
        g: `(B, O, L)`.
        a: `(B, I, L)`.

    Returns:
        `(O, I)`.
    """
    samples = max(1, CHUNK_FLOATS // max(g.shape[1] * a.shape[1], 1))
    total = torch.zeros(g.shape[1], a.shape[1], dtype=g.dtype, device=g.device)
    for some_g, some_a in zip(torch.split(g, samples), torch.split(a, samples), strict=True):
        total += torch.bmm(some_g, some_a.mT).square_().sum(0)
    return total


FORMULAS: Mapping[type[nn.Module], LayerSquares] = {
    nn.Linear: linear,
    nn.Conv2d: convolution,
    nn.BatchNorm1d: normalisation,
    nn.BatchNorm2d: normalisation,
}
"""Exact types: a subclass may compute something else."""
