"""One attempt at a job, as the numerics see it: progress to the supervisor, checkpoints in the job's folder."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worker.channel import Channel, Order
from worker.numerics.run import Cancelled, Checkpoint, Fact

PROGRESS_SECONDS = 0.1


class AttemptRun:
    """`folder` belongs to this attempt alone; checkpoints belong to the job, so that the next attempt goes on."""

    def __init__(self, channel: Channel, runs: Path, order: Order) -> None:
        self._notes: dict[str, Fact] = {}
        self.notes: Mapping[str, Fact] = self._notes
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
        tensors, facts = checkpoint
        self._checkpoints.mkdir(exist_ok=True)
        temporary = self.folder / "checkpoint.tmp"
        save_file(_apart(tensors), temporary, metadata={"facts": json.dumps(dict(facts))})
        os.replace(temporary, self._path(name))  # noqa: PTH105 - the atomic one, by its name

    def saved(self, name: str) -> Checkpoint | None:
        """Read the checkpoint of that name; a file that cannot be read is as good as none."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                facts: dict[str, Fact] = json.loads(file.metadata()["facts"])
                return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 - not a mapping
        except SafetensorError as error:
            self._channel.tell("log", {"message": f"The checkpoint {name} is unreadable: {error}"})
            return None

    def _path(self, name: str) -> Path:
        return self._checkpoints / f"{quote(name, safe='')}.safetensors"


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory.
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
