"""What a computation tells the outside while it runs, and how it hears that it should stop."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The job was asked to stop; nothing of it is published."""


Fact = float | int | str
Checkpoint = tuple[Mapping[str, Tensor], Mapping[str, Fact]]
"""Tensors and plain facts, enough to go on where the checkpoint was taken."""


class Run(Protocol):
    """One attempt at a job, as the numerics see it."""

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Say how far a phase is. Cheap enough for every batch.

        Raises:
            Cancelled: somebody asked for the job to stop.
        """

    def note(self, name: str, value: Fact) -> None:
        """Record a fact for the report: a selected fraction, a threshold, a warning."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint under a name unique within the job, replacing an earlier one, atomically."""

    def saved(self, name: str) -> Checkpoint | None:
        """The checkpoint of that name that an earlier attempt, or this one, kept."""


class Quiet:
    """A run that nobody watches: keeps notes, takes no checkpoints, is never cancelled."""

    def __init__(self) -> None:
        self.notes: dict[str, Fact] = {}

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Say nothing."""

    def note(self, name: str, value: Fact) -> None:
        """Keep the fact."""
        self.notes[name] = value

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep nothing."""

    def saved(self, name: str) -> Checkpoint | None:  # noqa: ARG002 - the protocol's shape
        """Nothing is kept."""
        return None
