"""Examples: labelled inputs that come in batches, however they are stored."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor

from worker.numerics.words import bucketed

Change = Callable[[Tensor], Tensor]
"""Raw inputs `(B, *S)` to raw inputs of the same shape: a transform T or its removal. Images are scaled to [0, 1],
texts are hashes of their words."""


class Batch(NamedTuple):
    """One batch."""

    inputs: Tensor  # (B, *S) after changes and normalisation: float32, or int64 where it reads text
    labels: Tensor  # (B,) int64
    positions: Tensor  # (B,) int64, the rows of the data set's manifest


@dataclass(frozen=True)
class Normalisation:
    """x ↦ (x − mean) / std per channel (images) or per feature, one number serves all; of texts hashes to buckets."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    vocabulary: int | None = None
    """V, of texts."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """`(B, *S)` to `(B, *S)`."""
        if not inputs.is_floating_point():  # words are names: there is nothing between two of them
            return inputs if self.vocabulary is None else bucketed(inputs, self.vocabulary)
        rest = (1,) * (inputs.dim() - 2)
        mean = torch.tensor(self.mean, dtype=inputs.dtype).view(1, -1, *rest).to(inputs.device)
        std = torch.tensor(self.std, dtype=inputs.dtype).view(1, -1, *rest).to(inputs.device)
        return (inputs - mean) / std


class Examples(ABC):
    """N labelled inputs of one shape. Immutable: every method returns new examples."""

    labels: Tensor
    """(N,) int64."""
    positions: Tensor
    """(N,) int64, the rows of the manifest; unique within one data set."""
    normalisation: Normalisation
    """The last step from raw inputs to the network's."""

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All examples once, `size` at a time, in order or, with a generator, shuffled by it."""

    @abstractmethod
    def through(self, change: Change) -> Self:
        """The same examples with their raw inputs changed, before normalisation."""

    @abstractmethod
    def unnormalised(self) -> "Examples":
        """The same examples whose batches hold raw inputs: scaled and changed, not normalised."""

    @abstractmethod
    def at(self, indices: Tensor) -> "Examples":
        """The examples at these indices (0..N-1, not positions), in this order."""

    def where(self, mask: Tensor) -> "Examples":
        """The examples whose entry of the mask `(N,)` is true."""
        return self.at(mask.nonzero().flatten())


@dataclass(frozen=True)
class TensorExamples(Examples):
    """Examples in memory; images stay bytes until their batch is asked for."""

    raw: Tensor  # (N, *S), uint8 images, float32 features or int64 hashes of words
    labels: Tensor
    positions: Tensor
    normalisation: Normalisation = field(default_factory=Normalisation)
    changes: Sequence[Change] = ()

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All examples once, `size` at a time."""
        n = len(self)
        order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
        for rows in torch.split(order, size):
            inputs = prepare(self.raw[rows], self.changes, self.normalisation)
            yield Batch(inputs, self.labels[rows], self.positions[rows])

    def through(self, change: Change) -> Self:
        """The change comes after those already there, when a batch is asked for."""
        return replace(self, changes=(*self.changes, change))

    def unnormalised(self) -> Self:
        """Batches of raw inputs."""
        return replace(self, normalisation=Normalisation())

    def at(self, indices: Tensor) -> Self:
        """A copy of the rows at these indices."""
        return replace(self, raw=self.raw[indices], labels=self.labels[indices], positions=self.positions[indices])


def prepare(raw: Tensor, changes: Sequence[Change], normalisation: Normalisation) -> Tensor:
    """Raw inputs to network inputs: scale bytes to [0, 1], apply the changes in order, normalise."""
    inputs = raw.float() / 255 if raw.dtype == torch.uint8 else raw
    for change in changes:
        inputs = change(inputs)
    return normalisation(inputs)
