"""What the information does to an input, inferred from pairs with it and without it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from worker.numerics.errors import Misfit, NothingToDo

CHANGED = 0.5 / 255  # a pixel that differs by less than half a step of a byte has not changed
RIDGE = 1e-3  # of the mean variance of an entry
EXPLAINED = 0.5  # of the squared difference, at least


@dataclass(frozen=True)
class Inferred:
    """T(x)_p = A_p x_p + b_p: at every place p its own map of the channels. A `Change`."""

    linear: Tensor  # A, (P, C, C)
    offset: Tensor  # b, (P, C)
    explained: float  # share of ‖x_f − x_clean‖² that T explains, over the pairs
    changed: float  # share of places where the pairs differ
    image: bool  # results stay in [0, 1]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Raw inputs `(B, *S)` to raw inputs with the information, the same shape."""
        made = _inputs(self._mapped(_places(inputs)), inputs.shape)
        return made.clamp(0, 1) if self.image else made

    def _mapped(self, places: Tensor) -> Tensor:
        return torch.einsum("pij,bpj->bpi", self.linear, places) + self.offset


def inferred(forget: Tensor, clean: Tensor) -> Inferred:
    """The transform T that best turns the clean inputs into those with the information, place by place.

        A_p = (cov(x_f, x) + εP) (cov(x, x) + εI)⁻¹,   b_p = mean(x_f) − A_p mean(x)
        P = 0 where the pairs differ, I where they do not

    A is a ridge regression of a pixel's channels with the information on its channels without. It finds replacement
    (A = 0: tile, line, patch), addition (A = I), blending, and maps between channels (color). Where x never varies, so
    that the pairs cannot tell, a changed place counts as replaced. Where they do not differ, A = I and b = 0 exactly.

    Args:
        forget: x_f, `(N, *S)`, raw; images in [0, 1].
        clean: x, their counterparts in the same order.

    Raises:
        Misfit: the shapes differ, or no such T explains half of the difference: the information differs from sample to
            sample.
        NothingToDo: no pair differs.

    Source: ours; 200 pairs do as well as T itself (ALGORITHMS.md §6).
    """
    if forget.shape != clean.shape:
        raise Misfit(f"D_f has inputs of shape {tuple(forget.shape)}, their clean pairs {tuple(clean.shape)}")
    image, (x_f, x) = forget.dim() == 4, (_places(part) for part in (forget, clean))
    differs = ((x_f - x).abs() > (CHANGED if image else 0)).any(0).any(1)  # (P,)
    if not differs.any():
        raise NothingToDo("D_f and D_f,clean are the same: there is no information to infer a transform from")
    mean_f, mean = x_f.mean(0), x.mean(0)
    eye = torch.eye(x.shape[2])
    variance, covariance = _covariance(x, x), _covariance(x_f, x)
    epsilon = RIDGE * float(variance.diagonal(dim1=1, dim2=2).mean()) + torch.finfo(x.dtype).eps
    linear = torch.linalg.solve(variance + epsilon * eye, covariance, left=False)
    linear = torch.where(differs[:, None, None], linear, eye)
    offset = torch.where(differs[:, None], mean_f - torch.einsum("pij,pj->pi", linear, mean), 0)
    found = Inferred(linear, offset, 0.0, float(differs.float().mean()), image)
    explained = 1 - float((found(clean) - forget).square().sum() / (clean - forget).square().sum())
    if explained < EXPLAINED:
        raise Misfit(
            f"one transform explains only {max(explained, 0):.0%} of what D_f and D_f,clean differ in: the information"
            " is not the same in every sample; name the transform that adds it"
        )
    return Inferred(linear, offset, explained, found.changed, image)


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    """Between the channels of a and those of b at every place: `(P, C, C)`."""
    return torch.einsum("npi,npj->pij", a - a.mean(0), b - b.mean(0)) / len(a)


def _places(inputs: Tensor) -> Tensor:
    """`(B, C, H, W)` to `(B, H·W, C)`; `(B, D)` to `(B, D, 1)`."""
    return inputs.flatten(2).transpose(1, 2) if inputs.dim() == 4 else inputs.flatten(1)[:, :, None]


def _inputs(places: Tensor, shape: torch.Size) -> Tensor:
    """The way back."""
    return places.transpose(1, 2).reshape(shape)
