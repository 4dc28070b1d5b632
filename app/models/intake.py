"""Weights on their way in: into a file below `storage/incoming`, hashed as they pass, before the database is asked."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from app.core.errors import Invalid, TooLarge, invalid_field
from app.core.ids import new_id
from app.core.settings import get_settings
from app.datasets.paths import permitted
from app.models.safetensors_header import NotSafetensorsError, read_header

BLOCK = 1 << 20


@dataclass
class Arrival:
    """A file that has arrived and has no place yet."""

    path: Path
    sha256: str = ""
    size: int = 0
    pointer: str = ""
    """The field that named it; empty for a body that is the file."""


@dataclass
class Sink:
    """Writes and hashes."""

    file: BinaryIO
    hasher: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, block: bytes) -> None:
        """Take one block; stop at the limit."""
        self.size += len(block)
        if self.size > get_settings().upload_limit_bytes:
            raise TooLarge("The weights are over the limit of this service.", code="content_too_large")
        self.hasher.update(block)
        self.file.write(block)


@contextmanager
def arriving() -> Iterator[tuple[Sink, Arrival]]:
    """A place for one file; whatever nobody has moved elsewhere is gone afterwards."""
    folder = get_settings().storage / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / new_id("in")
    try:
        with path.open("xb") as file:
            yield Sink(file), Arrival(path)
    finally:
        path.unlink(missing_ok=True)


def finish(sink: Sink, arrival: Arrival) -> Arrival:
    """All is written: on disk, and its digest known."""
    sink.file.flush()
    os.fsync(sink.file.fileno())
    arrival.sha256, arrival.size = sink.hasher.hexdigest(), sink.size
    return arrival


def copy(sink: Sink, arrival: Arrival, text: str, *, pointer: str) -> Arrival:
    """From a path that the operator permits."""
    path = permitted(text, pointer=pointer)
    arrival.pointer = pointer
    if not path.is_file():
        raise invalid_field(pointer, "This is not a file.", code="path_not_found")
    with path.open("rb") as source:
        while block := source.read(BLOCK):
            sink.write(block)
    return finish(sink, arrival)


def check_header(arrival: Arrival, *, pointer: str) -> None:
    """It is safetensors."""
    try:
        read_header(arrival.path)
    except NotSafetensorsError as error:
        raise invalid_field(pointer, str(error), code="not_safetensors") from None


def check_alike(weights: Path, arrival: Arrival, *, pointer: str) -> None:
    """Initial weights have the names, types and shapes of the weights."""
    check_header(arrival, pointer=pointer)
    if read_header(weights) != read_header(arrival.path):
        raise invalid_field(
            pointer, "Names, types or shapes differ from those of the version's weights.", code="weights_differ"
        )


def check_deltas(arrival: Arrival, parameters: int, *, pointer: str) -> None:
    """It holds the steps of a network of so many parameters, and a batch for each; the worker checks what they say."""
    check_header(arrival, pointer=pointer)
    found = read_header(arrival.path)
    deltas, positions = found.get("deltas"), found.get("positions")
    if deltas is None or positions is None or len(found) != 2:
        raise invalid_field(pointer, "It holds two tensors, `deltas` and `positions`.", code="deltas_differ")
    steps = positions.shape[0] if len(positions.shape) == 2 and positions.dtype == "I64" else 0
    if not steps or (deltas.dtype, deltas.shape) != ("F32", (steps, parameters)):
        message = f"`deltas` is F32 of shape [steps, {parameters}], `positions` I64 of shape [steps, batch size]."
        raise invalid_field(pointer, message, code="deltas_differ")


def place(arrival: Arrival, target: Path) -> None:
    """Into its final place, at once or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    arrival.path.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def folder_of(model_id: str, version_id: str) -> Path:
    """Where the artifacts of a version lie: weights, initial, fisher."""
    return get_settings().storage / "models" / model_id / version_id


def wrong_digest(pointer: str) -> Invalid:
    """The file is not the one that the caller means."""
    return invalid_field(pointer, "The file has another SHA-256.", code="wrong_sha256")
