"""Torch's operations on parameters: which formula gives the squares of which argument.

By the names of torch's built-in functions, which modules, `torch.nn.functional` and operators all come down to.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.numerics.fisher.formulas import Convolution, Factor, Formula, Lookup, Product

Given = Mapping[str, Any]
"""What an operation was called with, by torch's names of its arguments."""
Reads = dict[str, tuple[Formula, Tensor | None]]
"""By argument: the formula for its squares, and what that must remember of the data."""


class Operation(NamedTuple):
    """One function of torch."""

    names: tuple[str, ...]  # of its arguments, in order, as far as they matter
    reads: Callable[[Given], Reads]


def name_of(func: Any) -> str:
    """The plain name: `add` for `Tensor.__add__`, `Tensor.add_` and `torch.add`; `T` for the property."""
    name = func.__name__
    return str(func.__self__.__name__ if name == "__get__" else name).strip("_")


def linear(given: Given) -> Reads:
    """Y = W a + b."""
    return {"weight": (Product(), given["input"]), "bias": (LAST, None)}


def matmul(given: Given) -> Reads:
    """Y = a V, V: `(I, O)`."""
    if given["other"].dim() != 2:
        return {}
    return {"other": (Product(flipped=True), given["input"])}


def addmm(given: Given) -> Reads:
    """Y = b + a V."""
    if (given.get("beta", 1), given.get("alpha", 1)) != (1, 1) or given["input"].dim() != 1:
        return {}
    return {"input": (LAST, None), "mat2": (Product(flipped=True), given["mat1"])}


def convolution(dims: int, given: Given) -> Reads:
    """A convolution over `dims` dimensions."""
    stride, dilation = _each(given.get("stride", 1), dims), _each(given.get("dilation", 1), dims)
    a, padding = given["input"], given.get("padding", 0)
    if padding == "same":  # not the same on both sides, where the kernel is even
        total = [d * (k - 1) for d, k in zip(dilation, given["weight"].shape[2:], strict=True)]
        a = pad(a, [side for t in reversed(total) for side in (t // 2, t - t // 2)])
    padding = _each(0 if isinstance(padding, str) else padding, dims)
    formula = Convolution(stride, padding, dilation, given.get("groups", 1))
    return {"weight": (formula, a), "bias": (CHANNEL, None)}


def transposed_convolution(dims: int, given: Given) -> Reads:
    """Its transpose; the weight is `(I, O/groups, *kernel)`."""
    formula = Convolution(
        stride=_each(given.get("stride", 1), dims),
        padding=_each(given.get("padding", 0), dims),
        dilation=_each(given.get("dilation", 1), dims),
        groups=given.get("groups", 1),
        transposed=True,
        output_padding=_each(given.get("output_padding", 0), dims),
    )
    return {"weight": (formula, given["input"]), "bias": (CHANNEL, None)}


def embedding(given: Given) -> Reads:
    """Rows of a table."""
    if given.get("scale_grad_by_freq"):
        return {}
    return {"weight": (Lookup(given.get("padding_idx", -1)), given["indices"])}


def layer_norm(given: Given) -> Reads:
    """Y = γ ∘ â + β over the last dimensions."""
    shape = given["normalized_shape"]
    standard = partial(torch.layer_norm, normalized_shape=shape, eps=given.get("eps", 1e-5))
    return _affine(given, tuple(range(-len(shape), 0)), standard)


def rms_norm(given: Given) -> Reads:
    """Y = γ ∘ a / rms(a) over the last dimensions."""
    shape = given["normalized_shape"]
    standard = partial(torch.rms_norm, normalized_shape=shape, eps=given.get("eps"))
    return _affine(given, tuple(range(-len(shape), 0)), standard)


def group_norm(given: Given) -> Reads:
    """Y = γ ∘ â + β by channel."""
    return _affine(given, (2,), _by_row(partial(torch.group_norm, **_only(given, "num_groups", "eps"))))


def instance_norm(given: Given) -> Reads:
    """Y = γ ∘ â + β by channel."""
    settings = _only(given, "running_mean", "running_var", "use_input_stats", "momentum", "eps", "cudnn_enabled")
    return _affine(given, (2,), _by_row(partial(torch.instance_norm, weight=None, bias=None, **settings)))


def batch_norm(given: Given) -> Reads:
    """Y = γ ∘ â + β by channel, with the stored statistics."""
    if given["training"]:
        return {}
    settings = _only(given, "running_mean", "running_var", "training", "momentum", "eps", "cudnn_enabled")
    return _affine(given, (2,), _by_row(partial(torch.batch_norm, weight=None, bias=None, **settings)))


def prelu(given: Given) -> Reads:
    """Y = max(a, 0) + w ∘ min(a, 0), one w or one for each channel."""
    own = (2,) if given["weight"].numel() > 1 else ()
    return {"weight": (Factor(own, lambda a: a.clamp(max=0)), given["input"])}


def _each(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _only(given: Given, *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _affine(given: Given, own: tuple[int, ...], standard: Callable[[Tensor], Tensor]) -> Reads:
    return {"weight": (Factor(own, standard), given["input"]), "bias": (Factor(own), None)}


def _by_row(standard: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What normalises `(N, C, *L)`, for `(B, F, C, *L)`."""
    return lambda a: standard(a.flatten(0, 1)).view_as(a)


LAST, CHANNEL = Factor((-1,)), Factor((2,))

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_NORM = ("input", "weight", "bias", "running_mean", "running_var")

OPERATIONS: Mapping[str, Operation] = {
    "linear": Operation(("input", "weight", "bias"), linear),
    "matmul": Operation(("input", "other"), matmul),
    "mm": Operation(("input", "other"), matmul),
    "addmm": Operation(("input", "mat1", "mat2"), addmm),
    **{f"conv{n}d": Operation(_CONVOLUTION, partial(convolution, n)) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": Operation(_TRANSPOSED, partial(transposed_convolution, n)) for n in (1, 2, 3)},
    "embedding": Operation(("weight", "indices", "padding_idx", "scale_grad_by_freq"), embedding),
    "layer_norm": Operation(("input", "normalized_shape", "weight", "bias", "eps"), layer_norm),
    "rms_norm": Operation(("input", "normalized_shape", "weight", "eps"), rms_norm),
    "group_norm": Operation(("input", "num_groups", "weight", "bias", "eps"), group_norm),
    "instance_norm": Operation((*_NORM, "use_input_stats", "momentum", "eps", "cudnn_enabled"), instance_norm),
    "batch_norm": Operation((*_NORM, "training", "momentum", "eps", "cudnn_enabled"), batch_norm),
    "prelu": Operation(("input", "weight"), prelu),
}

SPREADING = frozenset(
    {"add", "sub", "rsub", "subtract", "mul", "multiply", "div", "divide", "true_divide"}
    | {"where", "addcmul", "addcdiv", "lerp", "maximum", "minimum", "pow"}
)
"""Entry by entry, with broadcasting: every sample gets its own copy of the parameter."""

COPYING = frozenset({"expand", "expand_as", "repeat", "broadcast_to"})
"""Copies of a parameter: one for each sample where the first dimension is the batch's."""

SELECTIONS = frozenset(
    {"T", "mT", "t", "transpose", "permute", "movedim", "moveaxis", "swapaxes", "swapdims"}
    | {"view", "view_as", "reshape", "flatten", "unflatten", "ravel", "unsqueeze", "squeeze"}
    | {"getitem", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "narrow", "select"}
    | {"contiguous", "clone", "to", "type_as", "float", "double"}
)
"""Their results hold entries of the parameter as they are, each at most once."""
