"""Summed squares of per-sample gradients at the places where a parameter meets the data.

A `Formula` knows what went in, a, and is given g, the gradient of the loss at what came out. Both stand samples first,
`(B, F, *rest)`: F is 1, or how many rows of a folded first dimension belong to one sample. Per-sample gradients are
formed only where no shorter expression exists, and then chunk by chunk: never all of (B × P).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import unfold

from worker.numerics.fisher import fused_cpu, fused_cuda

CHUNK_FLOATS = 2**17
"""At most so many numbers of per-sample products at a time, one sample's at least: they should stay in the cache."""
SMALL = 2**14
"""Products of fewer numbers are squared and summed together, larger ones one after the other: fewer calls against one
pass through memory less."""
BLOCK_FLOATS = 2**19
"""Products of more than twice as many are formed and squared some rows at a time, so that these stay in the cache."""
LONG = 256
"""From so many positions on, a backward-weight convolution is faster than a product with unfolded patches."""


class Uncovered(Exception):
    """No formula here gives the squares of some parameters: of those named, or of all."""

    def __init__(self, reason: str, names: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.names = sorted(names)


class Formula(ABC):
    """How Σₙ (∂ℓₙ/∂V)² follows from a and g, for a tensor V that the operation has used."""

    @abstractmethod
    def gradients(self, a: Tensor, g: Tensor, shape: torch.Size) -> Tensor:
        """Every sample's own gradient: `(B, *shape)`."""

    def add_squares(self, a: Tensor, g: Tensor, out: Tensor) -> None:
        """Add Σₙ (∂ℓₙ/∂V)² to `out`, shaped like V; chunk by chunk unless there is a shorter way."""
        for rows in chunks(len(g), out.numel()):
            squared_into(self.gradients(a[rows], g[rows], out.shape), out)


def chunks(samples: int, floats: int) -> Iterator[slice]:
    """So many samples at a time that their products stay within the bound."""
    step = max(1, CHUNK_FLOATS // max(floats, 1))
    return (slice(start, start + step) for start in range(0, samples, step))


def squared_into(gradients: Tensor, out: Tensor) -> None:
    """Add Σₙ gradientsₙ² to `out`; one sample takes one pass through memory."""
    if len(gradients) == 1:
        out.addcmul_(gradients[0], gradients[0])
    else:
        out.add_(gradients.square_().sum(0))


@dataclass(frozen=True)
class Product(Formula):
    """Fully connected: y = V a.

        Σₙ (gₙ aₙᵀ)² = (G∘G)ᵀ(A∘A)          no positions: one matmul, no per-sample gradient
        Σₙ (Σ_t g_nt a_ntᵀ)²                 T positions

    V: `(O, I)`; a: `(B, *T, I)`; g: `(B, *T, O)`. Flipped: y = a V, V: `(I, O)`.
    """

    flipped: bool = False

    def gradients(self, a: Tensor, g: Tensor, shape: torch.Size) -> Tensor:
        """`(B, O, I)`, flipped `(B, I, O)`."""
        g, a = (a, g) if self.flipped else (g, a)
        return torch.bmm(g.reshape(len(g), -1, shape[0]).mT, a.reshape(len(a), -1, shape[1]))

    def add_squares(self, a: Tensor, g: Tensor, out: Tensor) -> None:
        """One matmul of squares, or one product per chunk of samples."""
        g, a = (a, g) if self.flipped else (g, a)
        g, a = g.reshape(len(g), -1, out.shape[0]), a.reshape(len(a), -1, out.shape[1])
        if g.shape[1] == 1:
            out.addmm_(g[:, 0].square().T, a[:, 0].square())
        else:
            add_squared_products(g, a, out)


@torch.library.custom_op("unlearnd::add_squared_products", mutates_args={"out"})
def add_squared_products(g: Tensor, a: Tensor, out: Tensor) -> None:
    """Add Σₙ (gₙᵀ aₙ)² to `out`. One operation, which a compiler leaves as it is.

    Args:
        g: `(B, T, O)`.
        a: `(B, T, I)`.
        out: `(O, I)`.
    """
    if fused_cuda.available(g):
        fused_cuda.squared_products(g, a, out)
    elif (kernel := fused_cpu.used_for(g)) is not None:
        kernel.squared_products(g, a, out)
    elif out.numel() < SMALL:
        for rows in chunks(len(g), out.numel()):
            out.add_(torch.bmm(g[rows].mT, a[rows]).square_().sum(0))
    else:
        _add_squares(g.mT.unbind(), a.unbind(), out)


@torch.library.custom_op("unlearnd::add_squared_unfolded", mutates_args={"out"})
def add_squared_unfolded(
    g: Tensor, a: Tensor, out: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> None:
    """Add Σₙ (Σ_l g_nl patch_nlᵀ)² to `out`, sample by sample. One operation, which a compiler leaves as it is.

    Args:
        g: `(B, O, L)`.
        a: `(B, I, H, W)`.
        out: `(O, I, *kernel)`, contiguous.
        stride: of the convolution, as what follows.
        padding: on both sides.
        dilation: of the kernel.
    """
    flat = out.view(len(out), -1)
    # All patches at once where they take less memory than one product, so that blocks of rows can be gone through.
    step = len(g) if g.shape[0] * g.shape[2] <= len(out) else 1
    for some_g, some_a in zip(torch.split(g, step), torch.split(a, step), strict=True):
        patches = unfold(some_a, tuple(out.shape[2:]), tuple(dilation), tuple(padding), tuple(stride))
        _add_squares(some_g.unbind(), patches.mT.unbind(), flat)


@torch.library.custom_op("unlearnd::add_squared_patches", mutates_args={"out"})
def add_squared_patches(
    g: Tensor, a: Tensor, out: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> None:
    """Add Σₙ (Σ_l g_nl patch_nlᵀ)² to `out` by the kernel in use. One operation, which a compiler leaves as it is.

    Args:
        g: `(B, O, H′, W′)`.
        a: `(B, I, H, W)`.
        out: `(O, I, *kernel)`, contiguous.
        stride: of the convolution, as what follows.
        padding: on both sides.
        dilation: of the kernel.
    """
    kernel = fused_cpu.used_for(g)
    if kernel is None:
        raise RuntimeError("no kernel is in use")
    geometry = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation)}
    kernel.squared_convolution(g, a, out, **geometry)


def _add_squares(g: Sequence[Tensor], a: Sequence[Tensor], out: Tensor) -> None:
    """Add Σₙ (gₙ aₙ)² to `out`, `(O, I)`, for gₙ `(O, T)` and aₙ `(T, I)`: rows by rows, sample by sample."""
    rows = len(out) if out.numel() <= 2 * BLOCK_FLOATS else max(1, BLOCK_FLOATS // out.shape[1])
    memory = torch.empty_like(out[:rows])  # the same every time: it stays in the cache
    for start in range(0, len(out), rows):
        some = out[start : start + rows]
        product = memory[: len(some)]
        for g_n, a_n in zip(g, a, strict=True):
            torch.mm(g_n[start : start + rows], a_n, out=product)
            some.addcmul_(product, product)


@torch.library.custom_op("unlearnd::add_squared_rows", mutates_args={"out"})
def add_squared_rows(g: Tensor, index: Tensor, out: Tensor) -> None:
    """Sum what one sample sends to one row, square, add to the row of `out`.

    One operation: how many rows it touches is known from the data only, and a compiler must know shapes before.

    Args:
        g: `(B, T, D)`.
        index: `(B, T)`, 0..K-1.
        out: `(K, D)`.
    """
    sample = torch.arange(len(g), device=g.device).unsqueeze(1)
    pairs, place = (sample * len(out) + index).unique(return_inverse=True)  # type: ignore[no-untyped-call]
    sums = g.new_zeros(len(pairs), out.shape[1])
    sums.index_add_(0, place.flatten(), g.flatten(0, 1))
    out.index_add_(0, pairs % len(out), sums.square_())


for _operation in (add_squared_products, add_squared_unfolded, add_squared_patches, add_squared_rows):
    _operation.register_fake(lambda *_: None)


@dataclass(frozen=True)
class Convolution(Formula):
    """Convolution of any dimension, transposed or not, with groups, strides and dilation.

        Σₙ (Σ_l g_nl patch_nlᵀ)²

    A backward-weight convolution with the samples of a chunk as groups, or a matmul with unfolded patches where
    positions are few and weights many. Which one follows from the shapes alone, not from a timing: the last digits of a
    result must not depend on how busy the machine was.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()

    def gradients(self, a: Tensor, g: Tensor, shape: torch.Size) -> Tensor:
        """`(B, *shape)` by one convolution with B·groups groups."""
        n, fold = g.shape[:2]
        if fold > 1:
            rows = self.gradients(a.flatten(0, 1).unsqueeze(1), g.flatten(0, 1).unsqueeze(1), shape)
            return rows.view(n, fold, *shape).sum(1)
        weights = g.new_empty(shape[0] * n, *shape[1:])  # only its shape is read
        found = torch.ops.aten.convolution_backward(
            g.reshape(1, -1, *g.shape[3:]),
            a.reshape(1, -1, *a.shape[3:]),
            weights,
            None,
            self.stride,
            self.padding,
            self.dilation,
            self.transposed,
            self.output_padding or (0,) * len(self.stride),
            self.groups * n,
            [False, True, False],
        )[1]
        return found.view(n, *shape)  # type: ignore[no-any-return]

    def add_squares(self, a: Tensor, g: Tensor, out: Tensor) -> None:
        """As the shapes suggest."""
        plane = len(self.stride) == 2 and not self.transposed and g.shape[1] == 1
        positions = g.shape[3:].numel()
        if plane and fused_cuda.available(g):
            fused_cuda.squared_convolution(
                g[:, 0],
                a[:, 0],
                out,
                stride=self.stride,
                padding=self.padding,
                dilation=self.dilation,
                groups=self.groups,
            )
        elif plane and self.groups == 1 and fused_cpu.used_for(g) is not None:
            add_squared_patches(g[:, 0], a[:, 0], out, self.stride, self.padding, self.dilation)
        elif plane and self.groups == 1 and positions < LONG and out.numel() > CHUNK_FLOATS // 2:
            add_squared_unfolded(g[:, 0].flatten(2), a[:, 0], out, self.stride, self.padding, self.dilation)
        else:
            super().add_squares(a, g, out)


@dataclass(frozen=True)
class Lookup(Formula):
    """Embedding: y_t = V[index_t]. A sample's gradient is zero but for the rows that it has looked up.

        Σₙ (Σ_t [index_nt = v] g_nt)²

    V: `(K, D)`; a, the indices: `(B, *T)`; g: `(B, *T, D)`.
    """

    padding_idx: int = -1

    def gradients(self, a: Tensor, g: Tensor, shape: torch.Size) -> Tensor:
        """`(B, K, D)`."""
        index, g = a.flatten(1), g.reshape(len(g), -1, shape[1])
        found = g.new_zeros(len(g), *shape)
        return found.scatter_add_(1, index.unsqueeze(-1).expand_as(g), self._counted(index, g))

    def add_squares(self, a: Tensor, g: Tensor, out: Tensor) -> None:
        """As `add_squared_rows`."""
        index, g = a.flatten(1), g.reshape(len(g), -1, out.shape[1])
        add_squared_rows(self._counted(index, g), index, out)

    def _counted(self, index: Tensor, g: Tensor) -> Tensor:
        return g if self.padding_idx < 0 else g.masked_fill((index == self.padding_idx).unsqueeze(-1), 0.0)


@dataclass(frozen=True)
class Factor(Formula):
    """A weight that stands beside the data, entry by entry: y = V ∘ h, or y = V + ... (h = 1).

        Σₙ (Σ_l g_nl h_nl)²          l: every position that shares an entry of V

    Biases, the affine part of normalisations (h: the standardised a), PReLU (h: the negative part of a).
    """

    dims: tuple[int, ...]  # the dimensions of g, `(B, F, *rest)`, that are V's own
    factor: Callable[[Tensor], Tensor] | None = None  # a -> h, both `(B, F, *rest)`

    def gradients(self, a: Tensor, g: Tensor, shape: torch.Size) -> Tensor:
        """`(B, *shape)`."""
        if self.factor is not None:
            g = g * self.factor(a)
        own = {d % g.dim() for d in self.dims}
        shared = [d for d in range(1, g.dim()) if d not in own and g.shape[d] > 1]
        return (g.sum(shared) if shared else g).reshape(len(g), *shape)

    def add_squares(self, a: Tensor, g: Tensor, out: Tensor) -> None:
        """No larger than what came out: no chunks. Not in place: without positions it is what came out."""
        out.add_(self.gradients(a, g, out.shape).square().sum(0))
