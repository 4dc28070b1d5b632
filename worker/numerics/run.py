"""What a computation tells the outside while it runs, and how it hears that it should stop."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Cancelled(Exception):
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


class Part:
    """A part of a run under its own name: phases and checkpoints of the same method run twice do not meet."""

    def __init__(self, whole: Run, name: str) -> None:
        self.whole = whole
        self.name = name

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Pass it on, with the part's name before the phase's."""
        self.whole.progress(f"{self.name}.{phase}", completed, total, unit)

    def note(self, name: str, value: Fact) -> None:
        """Pass it on, likewise."""
        self.whole.note(f"{self.name}.{name}", value)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep it under the longer name."""
        self.whole.save(f"{self.name}.{name}", checkpoint)

    def saved(self, name: str) -> Checkpoint | None:
        """Find it under the longer name."""
        return self.whole.saved(f"{self.name}.{name}")


TURN = "turn"
"""Fact of every checkpoint of a turn."""


class Turn(Part):
    """A part that is done many times over: only the checkpoints of this time count, and they replace the last one's."""

    def __init__(self, whole: Run, name: str, number: int) -> None:
        super().__init__(whole, name)
        self.number = number

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Pass it on, with the turn's number before the phase's name."""
        super().progress(f"{self.number}.{phase}", completed, total, unit)

    def note(self, name: str, value: Fact) -> None:
        """Say nothing: what the method notes was noted when it was carried out for the request."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep it in place of an earlier turn's."""
        tensors, facts = checkpoint
        super().save(name, (tensors, {**facts, TURN: self.number}))

    def saved(self, name: str) -> Checkpoint | None:
        """Find it, if it is this turn's."""
        found = super().saved(name)
        return found if found is not None and found[1].get(TURN) == self.number else None
