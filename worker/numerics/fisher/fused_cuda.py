"""Summed squares of per-sample weight gradients on a GPU, squared where the product is formed.

Elsewhere a product gₙᵀaₙ of the size of the weights is written and read again for every sample, only to be squared and
summed; on a GPU that costs more than forming it. Here one Triton program holds one tile of the weights in registers,
takes the samples one after the other, and writes the tile once. Triton is optional: it comes with torch's CUDA builds,
and is imported when the first product is formed.
"""

from __future__ import annotations  # the kernel's annotations are Triton's, which is not yet imported

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from worker.numerics.fisher.fused import Pair, check_convolution, check_products

if TYPE_CHECKING:
    from torch import Tensor

PRECISION = "ieee"
"""Every product in float32, by FMA. Plain tf32 keeps 11 of 24 bits, which is far from enough. "tf32x3" keeps 22 and
should be faster, but tensor cores truncate where they add, some GPUs and the interpreter have none, and nobody has yet
measured what is left: try it with this line."""

PROGRAMS = 512
"""The samples are shared out until so many programs run: about four for each processor of a large GPU."""

BLOCK = 64
"""Weights come in tiles of at most so many rows and columns: then 8 warps hold a tile's product, its sum and the
addresses of two patches without spilling. What is shared out is summed in a buffer of less than 2 PROGRAMS tiles,
16 MiB, however many samples there are."""

POSITIONS = 16
"""So many at a time are multiplied: the fewest that Triton takes; more leave too few registers for the addresses."""

tl: Any = None  # triton.language: Triton looks names up in the module where a kernel stands


def available(tensor: Tensor) -> bool:
    """Whether the functions below can take this tensor: float32, on CUDA, where Triton can be imported."""
    return tensor.is_cuda and tensor.dtype == torch.float32 and _importable()


def squared_products(g: Tensor, a: Tensor, out: Tensor) -> None:
    """Add the squares of a fully connected layer that is applied at T positions.

        out += Σₙ (Σ_t g_nt a_ntᵀ)²

    Source: Goodfellow 2015, arXiv:1510.01799, for T = 1; for T > 1 the same sum, squared after the positions are
    added up.

    Args:
        g: gradient of the loss at what came out, `(B, T, O)`, float32, any strides.
        a: what went in, `(B, T, I)`, float32, any strides.
        out: `(O, I)`, float32, contiguous; added to in place.

    Raises:
        TypeError: not all are float32.
        ValueError: shapes that do not belong together, or `out` is not contiguous.
    """
    check_products(g, a, out)
    # A convolution with a kernel of one point, over an image of T × 1.
    _add_squares(g.mT.unsqueeze(3), a.mT.unsqueeze(3), out[:, :, None, None], (1, 1), (0, 0), (1, 1), 1)


def squared_convolution(
    g: Tensor, a: Tensor, out: Tensor, *, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """Add the squares of a convolution's weight. Patches are gathered in the kernel, never unfolded in memory.

        out_oiyx += Σₙ (Σ_l g_nol a_{n, i, l·stride − padding + (y, x)·dilation})²       a = 0 outside the image

    Source: Rochette, Manoel and Tramel 2019, arXiv:1912.06015, for the per-sample gradient of a convolution.

    Args:
        g: gradient of the loss at what came out, `(B, O, H′, W′)`, float32, any strides.
        a: what went in, `(B, I, H, W)`, float32, any strides.
        out: `(O, I/groups, h, w)`, float32, contiguous; added to in place.
        stride: as in `nn.Conv2d`, like the other three.
        padding: with zeros.
        dilation: distance between two points of the kernel.
        groups: the first O/groups outputs see the first I/groups inputs, and so on.

    Raises:
        TypeError: not all are float32.
        ValueError: shapes that do not belong together, or `out` is not contiguous.
    """
    check_convolution(g, a, out, stride, padding, dilation, groups)
    _add_squares(g, a, out, stride, padding, dilation, groups)


def _add_squares(g: Tensor, a: Tensor, out: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
    if not g.numel() or not out.numel():
        return
    outputs, columns, positions = out.shape[0] // groups, out.shape[1:].numel(), g.shape[2:].numel()
    block_o, block_c = _block(outputs), _block(columns)
    tiles = groups * -(-outputs // block_o) * -(-columns // block_c)
    samples = _samples_of_a_program(len(g), tiles)
    parts = -(-len(g) // samples)
    # Each program owns its part of the buffer: no atomics, so that the same call gives the same bits.
    buffer = out.new_zeros(parts, *out.shape) if parts > 1 else out.unsqueeze(0)
    with torch.cuda.device(g.get_device()):
        _kernel()[tiles, parts](
            *(g, a, buffer, g.stride(), a.stride()),
            (len(g), samples, *a.shape[2:], g.shape[3], positions, groups, outputs, columns),
            geometry=(*out.shape[2:], *stride, *padding, *dilation),
            blocks=(block_o, block_c, POSITIONS, PRECISION),
            num_warps=_warps(block_o, block_c),
        )
    if parts > 1:
        out += buffer.sum(0)


def _block(size: int) -> int:
    """The power of two that covers the size, within what a program can hold and a product can be made of."""
    return max(16, min(BLOCK, 1 << (size - 1).bit_length()))


def _warps(block_o: int, block_c: int) -> int:
    """A tile's entries, 16 to a thread."""
    return max(1, block_o * block_c // 512)


def _samples_of_a_program(samples: int, tiles: int) -> int:
    """As many as leave about PROGRAMS programs; one at least."""
    return -(-samples // min(samples, -(-PROGRAMS // tiles)))


@cache
def _importable() -> bool:
    try:
        import_module("triton")
    except ImportError:
        return False
    return True


@cache
def _kernel() -> Any:
    global tl  # noqa: PLW0603 - set once, when the first product is formed
    tl = import_module("triton.language")
    return import_module("triton").jit(_squares)


def _squares(g, a, out, strides_of_g, strides_of_a, sizes, geometry: tl.constexpr, blocks: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """One tile of the weights of one group, summed over one part of the samples. Compiled by Triton.

    A column c is an input channel and a point of the kernel. Offsets are 64-bit, what is compared is 32-bit.
    """
    g_n, g_o, g_y, g_x = strides_of_g
    a_n, a_i, a_y, a_x = strides_of_a
    samples, samples_of_a_program, height, width, positions_in_a_row, positions, groups, outputs, columns = sizes
    kernel_height: tl.constexpr = geometry[0]
    kernel_width: tl.constexpr = geometry[1]
    stride_y: tl.constexpr = geometry[2]
    stride_x: tl.constexpr = geometry[3]
    padding_y: tl.constexpr = geometry[4]
    padding_x: tl.constexpr = geometry[5]
    dilation_y: tl.constexpr = geometry[6]
    dilation_x: tl.constexpr = geometry[7]
    block_o: tl.constexpr = blocks[0]
    block_c: tl.constexpr = blocks[1]
    block_l: tl.constexpr = blocks[2]
    precision: tl.constexpr = blocks[3]

    tiles_o, tiles_c = tl.cdiv(outputs, block_o), tl.cdiv(columns, block_c)
    tile, first = tl.program_id(0), tl.program_id(1).to(tl.int64) * samples_of_a_program
    group = (tile // (tiles_o * tiles_c)).to(tl.int64)
    o = tile // tiles_c % tiles_o * block_o + tl.arange(0, block_o)
    c = tile % tiles_c * block_c + tl.arange(0, block_c)
    i, point = c // (kernel_height * kernel_width), c % (kernel_height * kernel_width)
    point_y = point // kernel_width * dilation_y - padding_y
    point_x = point % kernel_width * dilation_x - padding_x
    g += first * g_n + group * outputs * g_o
    a += first * a_n + group * (columns // (kernel_height * kernel_width)) * a_i
    of_o = o.to(tl.int64) * g_o
    of_c = i.to(tl.int64) * a_i + point_y.to(tl.int64) * a_y + point_x.to(tl.int64) * a_x

    total = tl.zeros((block_o, block_c), tl.float32)
    for _ in range(first, tl.minimum(first + samples_of_a_program, samples)):
        product = tl.zeros((block_o, block_c), tl.float32)
        for start in range(0, positions, block_l):
            l = start + tl.arange(0, block_l)  # noqa: E741 - position l, as in the equation
            y, x = l // positions_in_a_row, l % positions_in_a_row
            of_l = y.to(tl.int64) * g_y + x.to(tl.int64) * g_x
            ours = tl.load(
                g + of_o[:, None] + of_l[None, :], mask=(o < outputs)[:, None] & (l < positions)[None, :], other=0.0
            )
            y, x = y * stride_y, x * stride_x
            inside = (l < positions)[:, None] & (c < columns)[None, :]
            if padding_y > 0 or padding_x > 0:
                image_y, image_x = y[:, None] + point_y[None, :], x[:, None] + point_x[None, :]
                inside &= (image_y >= 0) & (image_y < height) & (image_x >= 0) & (image_x < width)
            of_l = y.to(tl.int64) * a_y + x.to(tl.int64) * a_x
            theirs = tl.load(a + of_l[:, None] + of_c[None, :], mask=inside, other=0.0)
            product = tl.dot(ours, theirs, product, input_precision=precision)
        total += product * product
        g += g_n
        a += a_n

    rows = (tl.program_id(1).to(tl.int64) * groups + group) * outputs + o
    own = out + rows[:, None] * columns + c[None, :]
    within = (o < outputs)[:, None] & (c < columns)[None, :]
    tl.store(own, tl.load(own, mask=within) + total, mask=within)
