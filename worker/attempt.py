"""One attempt at a job, as the numerics see it: progress to the supervisor, checkpoints in the job's folder."""

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from safetensors import SafetensorError

from worker.channel import Channel, Order
from worker.checkpoints import read_checkpoint, write_checkpoint
from worker.numerics.run import Cancelled, Checkpoint, Fact

PROGRESS_SECONDS = 0.1


class AttemptRun:
    """`folder` belongs to this attempt alone; checkpoints belong to the job, so that the next attempt goes on."""

    notes: Mapping[str, Fact]
    """Taken so far."""

    def __init__(self, channel: Channel, runs: Path, order: Order) -> None:
        self._notes: dict[str, Fact] = {}
        self.notes = self._notes
        self.folder = runs / order.job / str(order.fence)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._checkpoints = runs / order.job / "checkpoints"
        self._channel = channel
        self._told = float("-inf")

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Tell the supervisor, ten times a second at most."""
        if self._channel.cancelled.is_set():
            raise Cancelled(phase)
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._told = time.monotonic()
            data = {"phase": phase, "completed": completed, "total": total, "unit": unit, "message": None}
            self._channel.tell("progress", data)

    def note(self, name: str, value: Fact) -> None:
        """Keep the fact, and tell it."""
        self._notes[name] = value
        self._channel.tell("note", {"name": name, "value": value})

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write a file beside the old one, then put it in its place."""
        write_checkpoint(self._path(name), checkpoint, temporary=self.folder / "checkpoint.tmp")

    def saved(self, name: str) -> Checkpoint | None:
        """Read the checkpoint of that name; a file that cannot be read is as good as none."""
        try:
            return read_checkpoint(self._path(name))
        except SafetensorError as error:
            self._channel.tell("log", {"message": f"The checkpoint {name} is unreadable: {error}"})
            return None

    def _path(self, name: str) -> Path:
        return self._checkpoints / f"{quote(name, safe='')}.safetensors"
