"""Sets of different sizes side by side: the smaller one begins again until the larger one is through."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from worker.numerics.examples import Batch, Change, Examples, Normalisation


@dataclass(frozen=True)
class Cycled(Examples):
    """Examples that begin again until there are `length` of them; a shuffled pass shuffles every round anew."""

    part: Examples
    length: int

    @property
    def labels(self) -> Tensor:  # type: ignore[override]
        """(length,) int64."""
        return self.part.labels[self._rows()]

    @property
    def positions(self) -> Tensor:  # type: ignore[override]
        """(length,) int64, not unique."""
        return self.part.positions[self._rows()]

    @property
    def normalisation(self) -> Normalisation:  # type: ignore[override]
        """The part's."""
        return self.part.normalisation

    def __len__(self) -> int:
        return self.length

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """`length` examples, `size` at a time."""
        rounds = self._rounds(size, generator)
        pending: list[Batch] = []
        for start in range(0, self.length, size):
            wanted = min(size, self.length - start)
            while sum(len(batch.labels) for batch in pending) < wanted:
                pending.append(next(rounds))
            joined = Batch(*(torch.cat(parts) for parts in zip(*pending, strict=True)))
            yield Batch(*(part[:wanted] for part in joined))
            pending = [Batch(*(part[wanted:] for part in joined))]

    def _rounds(self, size: int, generator: torch.Generator | None) -> Iterator[Batch]:
        while True:
            yield from self.part.batches(size, generator=generator)

    def through(self, change: Change) -> Self:
        """The part changed."""
        return type(self)(self.part.through(change), self.length)

    def unnormalised(self) -> Self:
        """The part so."""
        return type(self)(self.part.unnormalised(), self.length)

    def at(self, indices: Tensor) -> Examples:
        """The examples at these indices, in this order."""
        return self.part.at(indices % len(self.part))

    def _rows(self) -> Tensor:
        return torch.arange(self.length) % len(self.part)


def side_by_side(*sets: Examples) -> tuple[Examples, ...]:
    """The sets, each repeated to the length of the longest, for `descend` to take in lock-step: all of D_f and D_r.

    Sets that are empty stay so; `descend` refuses them.
    """
    longest = max(len(s) for s in sets)
    return tuple(s if len(s) in {0, longest} else Cycled(s, longest) for s in sets)
