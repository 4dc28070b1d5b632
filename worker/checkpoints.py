"""Checkpoints as safetensors files: the tensors, and the facts as JSON in the header."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from worker.numerics.run import Checkpoint, Fact


def write_checkpoint(path: Path, checkpoint: Checkpoint, *, temporary: Path) -> None:
    """Write a file beside the old one, then put it in its place."""
    tensors, facts = checkpoint
    path.parent.mkdir(exist_ok=True)
    save_file(_apart(tensors), temporary, metadata={"facts": json.dumps(dict(facts))})
    os.replace(temporary, path)  # noqa: PTH105 - the atomic one, by its name


def read_checkpoint(path: Path) -> Checkpoint | None:
    """What was written there, if anything was.

    Raises:
        SafetensorError: the file cannot be read.
    """
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Fact] = json.loads(file.metadata()["facts"])
        return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 - not a mapping


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory.
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
