"""Examples that are taught with other labels than their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from worker.numerics.examples import Batch, Change, Examples, Normalisation


@dataclass(frozen=True)
class Relabelled(Examples):
    """The part's examples, each with the label given here."""

    part: Examples
    labels: Tensor  # (N,) int64

    @property
    def positions(self) -> Tensor:  # type: ignore[override]
        """The part's."""
        return self.part.positions

    @property
    def normalisation(self) -> Normalisation:  # type: ignore[override]
        """The part's."""
        return self.part.normalisation

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All examples once, `size` at a time; a shuffle takes the labels along."""
        n = len(self)
        order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
        for rows in torch.split(order, size):
            for batch in self.part.at(rows).batches(size):
                yield batch._replace(labels=self.labels[rows])

    def through(self, change: Change) -> Self:
        """The part changed."""
        return type(self)(self.part.through(change), self.labels)

    def unnormalised(self) -> Self:
        """The part so."""
        return type(self)(self.part.unnormalised(), self.labels)

    def at(self, indices: Tensor) -> Self:
        """The examples at these indices, in this order."""
        return type(self)(self.part.at(indices), self.labels[indices])
