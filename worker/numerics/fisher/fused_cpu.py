"""Summed squares of per-sample weight gradients on a CPU, squared where the product is formed.

With torch a product of the size of the weights is written for every sample, and read again to be squared and summed.
On a CPU that costs a third as much as forming it, and twice as much where positions are few and weights many. Here a
tile of the product never leaves the registers, and patches are gathered where they stand: nothing is unfolded.

The C++ beside this file is compiled for the machine's own processor, once, and kept where torch keeps what it compiles.
That takes a few seconds, so whoever has much to do asks for it (`kernel`) and says where it holds (`used`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ctypes import c_int64, c_void_p
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from worker.numerics.fisher.compiler import Uncompiled, reason_of, require_compiler
from worker.numerics.fisher.fused import Pair, check_convolution, check_products

SOURCE = Path(__file__).with_name("fused_cpu.cpp")
FLAGS = ("-ffp-contract=fast",)  # torch asks its compiler not to make one instruction of a product and a sum


class Kernel:
    """The compiled code. Use `kernel` to get it."""

    def __init__(self, library: Any) -> None:
        self._add = library.add_squares
        self._add.restype = None
        self._add.argtypes = [
            *(c_void_p, c_int64, c_void_p, c_void_p),
            *(c_void_p, c_int64, c_int64, c_int64),
            *(c_void_p, c_int64, c_int64),
            *(c_int64,) * 5,
        ]

    def squared_products(self, g: Tensor, a: Tensor, out: Tensor) -> None:
        """Add the squares of a fully connected layer that is applied at T positions.

            out += Σₙ (Σ_t g_nt a_ntᵀ)²

        Args:
            g: gradient of the loss at what came out, `(B, T, O)`, float32, any strides.
            a: what went in, `(B, T, I)`, float32, any strides.
            out: `(O, I)`, float32, contiguous; added to in place.

        Raises:
            TypeError: not all are float32.
            ValueError: shapes that do not belong together, or `out` is not contiguous.
        """
        check_products(g, a, out)
        if len(out) < out.shape[1]:  # a tile's rows are read again and again: the narrower side stays in the cache
            rows, columns, strides = g, a, out.stride()
        else:
            rows, columns, strides = a, g, out.stride()[::-1]
        positions, width = rows.shape[1:]
        rows = rows.contiguous()
        self._run(rows, _steps(width, 1), _steps(positions, width), columns, out, strides)

    def squared_convolution(
        self, g: Tensor, a: Tensor, out: Tensor, *, stride: Pair, padding: Pair, dilation: Pair
    ) -> None:
        """Add the squares of a convolution's weight, without groups.

            out_oiyx += Σₙ (Σ_l g_nol a_{n, i, l·stride − padding + (y, x)·dilation})²       a = 0 outside the image

        Args:
            g: gradient of the loss at what came out, `(B, O, H′, W′)`, float32, any strides.
            a: what went in, `(B, I, H, W)`, float32, any strides.
            out: `(O, I, h, w)`, float32, contiguous; added to in place.
            stride: as in `nn.Conv2d`, like the other two.
            padding: with zeros.
            dilation: distance between two points of the kernel.

        Raises:
            TypeError: not all are float32.
            ValueError: shapes that do not belong together, or `out` is not contiguous.
        """
        check_convolution(g, a, out, stride, padding, dilation, 1)
        (above, beside), (height, width) = padding, g.shape[2:]
        image = pad(a, (beside, beside, above, above)).contiguous()
        patch = _grid((image.shape[1], *out.shape[2:]), (image.stride(1), dilation[0] * image.stride(2), dilation[1]))
        places = _grid((height, width), (stride[0] * image.stride(2), stride[1]))
        self._run(image, patch, places, g.flatten(2).mT, out, (1, patch.numel()))

    def _run(
        self, a: Tensor, row_at: Tensor, position_at: Tensor, g: Tensor, out: Tensor, strides: tuple[int, ...]
    ) -> None:
        """out(r, c) += Σₙ (Σ_t aₙ[row_at[r] + position_at[t]] · gₙ(t, c))²."""
        if not out.numel():
            return
        self._add(
            *(a.data_ptr(), a.stride(0), row_at.data_ptr(), position_at.data_ptr()),
            *(g.data_ptr(), *g.stride()),
            *(out.data_ptr(), *strides),
            *(len(g), g.shape[1], len(row_at), g.shape[2], torch.get_num_threads()),
        )


@cache
def kernel() -> Kernel:
    """Compiled, or found compiled.

    Raises:
        Uncompiled: there is no compiler, or it cannot make this.
    """
    require_compiler()
    try:
        codecache = import_module("torch._inductor.codecache")  # loads for a second or two: only here
        # Without torch's own classes for vectors, which it would compile for ten seconds to see which of them work.
        library = codecache.CppCodeCache.load(SOURCE.read_text(), extra_flags=FLAGS, needs_vec_isa=False)
        return Kernel(library)
    except Exception as error:  # whatever a compiler raises is the reason to go on without it
        raise Uncompiled(reason_of(error)) from error


_used: ContextVar[Kernel | None] = ContextVar("used", default=None)


@contextmanager
def used(it: Kernel | None) -> Iterator[None]:
    """Have squares formed by it inside; with None as if there were none."""
    token = _used.set(it)
    try:
        yield
    finally:
        _used.reset(token)


def used_for(tensor: Tensor) -> Kernel | None:
    """The kernel, where it is used and can take this tensor: float32, on the CPU."""
    return None if tensor.is_cuda or tensor.dtype != torch.float32 else _used.get()


@lru_cache(maxsize=1024)
def _steps(number: int, step: int) -> Tensor:
    return torch.arange(number) * step


@lru_cache(maxsize=1024)
def _grid(sizes: tuple[int, ...], steps: tuple[int, ...]) -> Tensor:
    """The offsets of all entries of a part of a tensor, the last dimension running fastest."""
    offsets = torch.zeros(1, dtype=torch.int64)
    for size, step in zip(sizes, steps, strict=True):
        offsets = (offsets.unsqueeze(1) + _steps(size, step)).flatten()
    return offsets
