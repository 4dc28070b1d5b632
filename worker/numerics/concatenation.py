"""Several sets of examples as one: D_r and D_f,clean, for instance."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from worker.numerics.examples import Batch, Change, Examples, Normalisation


@dataclass(frozen=True)
class Concatenated(Examples):
    """The parts one after the other; a shuffled pass shuffles across them."""

    parts: Sequence[Examples]
    rows: Tensor  # (N,) int64: which rows of the parts, counted through, and in which order

    @property
    def labels(self) -> Tensor:  # type: ignore[override]
        """(N,) int64."""
        return torch.cat([part.labels for part in self.parts])[self.rows]

    @property
    def positions(self) -> Tensor:  # type: ignore[override]
        """(N,) int64."""
        return torch.cat([part.positions for part in self.parts])[self.rows]

    @property
    def normalisation(self) -> Normalisation:  # type: ignore[override]
        """That of the first part, and so of all."""
        return self.parts[0].normalisation

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All examples once, `size` at a time, in order or, with a generator, shuffled by it."""
        n = len(self)
        order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
        for start in range(0, n, size):
            yield self._gather(self.rows[order[start : start + size]])

    def through(self, change: Change) -> Self:
        """Every part changed."""
        return self._each(lambda part: part.through(change))

    def unnormalised(self) -> Self:
        """Every part so."""
        return self._each(lambda part: part.unnormalised())

    def at(self, indices: Tensor) -> Self:
        """The examples at these indices, in this order."""
        return type(self)(self.parts, self.rows[indices])

    def _each(self, change: Callable[[Examples], Examples]) -> Self:
        return type(self)([change(part) for part in self.parts], self.rows)

    def _gather(self, rows: Tensor) -> Batch:
        start, places = 0, list[Tensor]()
        pieces: list[Batch] = []
        for part in self.parts:
            here = ((rows >= start) & (rows < start + len(part))).nonzero().flatten()
            if len(here):
                places.append(here)
                pieces.extend(part.at(rows[here] - start).batches(len(here)))
            start += len(part)
        back = torch.cat(places).argsort()
        return Batch(*(torch.cat(columns)[back] for columns in zip(*pieces, strict=True)))


def concatenated(*parts: Examples) -> Concatenated:
    """All examples of all parts; they must have inputs of one shape, and positions of one data set."""
    return Concatenated(parts, torch.arange(sum(len(part) for part in parts)))
