"""Selective synaptic dampening: shrink the weights that matter much more to D_f than to all of D."""

from collections.abc import Mapping

import torch
from torch import Tensor

from worker.numerics.errors import ForgetsTooMuch, Misfit
from worker.numerics.fisher import Fisher
from worker.numerics.selection import Selection
from worker.numerics.weights import Weights

USABLE = 0.8
"""Of the largest α there is, 1/f, the share up to which an α means anything."""


def dampen(theta: Tensor, importance: Tensor, forget: Tensor, selected: Tensor, *, strength: float) -> Tensor:
    """Shrink the selected entries, the harder the more they matter to the forgotten examples.

        θ′ = β θ   where selected,   β = min(λ I_D / I_f, 1)
        θ′ = θ     elsewhere, bit for bit

    Args:
        theta: θ, any shape.
        importance: I_D ≥ 0, Fisher diagonal over all examples; float64, same shape.
        forget: I_f ≥ 0, Fisher diagonal over the forgotten ones; likewise. An entry where both are 0 is left alone.
        selected: bool, same shape.
        strength: λ > 0, the smaller, the stronger.

    Returns:
        θ′, same shape and type. No entry grows in magnitude.

    Source: Foster, Schoepf & Brintrup, Fast Machine Unlearning without Retraining through Selective Synaptic
    Dampening, 2024.
    """
    beta = torch.where(forget > 0, strength * importance / forget, 1.0).clamp(max=1)
    return torch.where(selected, (beta * theta).to(theta.dtype), theta)


def dampened(
    old: Weights,
    importance: Mapping[str, Tensor],
    forget: Mapping[str, Tensor],
    selection: Selection,
    *,
    strength: float,
) -> dict[str, Tensor]:
    """All weights, the selected entries dampened; buffers and the rest are copies.

    Args:
        old: θ_old.
        importance: I_D by parameter name.
        forget: I_f by parameter name.
        selection: S.
        strength: λ.
    """
    return {
        name: dampen(theta, importance[name], forget[name], selection.masks[name], strength=strength)
        if name in selection.masks
        else theta.clone()
        for name, theta in old.items()
    }


def share(forget: int, stored: Fisher) -> float:
    """The share f = |D_f| / |D|, for D_f is among the samples that the stored diagonal was taken over.

    Raises:
        ForgetsTooMuch: f > 1/2: the importance over D is then above all that over D_f, and tells nothing apart.
    """
    f = forget / stored.count
    if f > 0.5:
        raise ForgetsTooMuch(
            f"{forget} of {stored.count} samples are to be forgotten: I_D is then mostly I_f, and no weight"
            " stands out; forget fewer at a time, or retrain"
        )
    return f


def usable(alpha: float, f: float) -> float:
    """α, unless no weight could exceed it.

    Fisher diagonals add up, I_D = f I_f + (1 − f) I_r ≥ f I_f. So I_f / I_D is at most 1/f, and near it only where a
    weight means nothing to D_r; published values of α go with an importance that is squared by the batch and knows no
    such bound.

    Raises:
        Misfit: α ≥ .8 / f.
    """
    if alpha >= USABLE / f:
        raise Misfit(
            f"α = {alpha:g} can hardly select anything: with the exact Fisher I_f / I_D never exceeds |D| / |D_f| ="
            f" {1 / f:.4g}; give an α below {USABLE / f:.4g}, or a fraction"
        )
    return alpha
