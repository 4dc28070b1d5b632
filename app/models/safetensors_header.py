"""The header of a safetensors file, checked without reading a number: names, types, shapes, and no gap between them.

A file is eight bytes with the header's length, the header as JSON, and the tensors one after another.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 8_000_000
ITEM_BYTES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


class NotSafetensorsError(ValueError):
    """The file is not safetensors; the sentence says why, and repeats nothing of it."""


@dataclass(frozen=True)
class Tensor:
    """What the header says about one tensor."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Tensor]:
    """Names, types and shapes of a file's tensors.

    Raises:
        NotSafetensorsError: the file is something else, or damaged.
    """
    with path.open("rb") as file:
        start = file.read(8)
        size = path.stat().st_size
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            raise NotSafetensorsError(_what_it_is(start, size))
        text = file.read(length)
    if not text.startswith(b"{"):
        raise NotSafetensorsError(_what_it_is(start, size))
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise NotSafetensorsError("The header is not JSON, or names a tensor twice.") from None
    return _tensors(header, size - 8 - length)


def _what_it_is(start: bytes, size: int) -> str:
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}):
        return "It looks like a pickle; convert it with safetensors.torch.save_file."
    if size < 10:
        return "The file is too short to be safetensors."
    return f"The file does not begin with the length of a header of at most {MAX_HEADER_BYTES:,} bytes."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _tensors(header: dict[str, Any], data_bytes: int) -> dict[str, Tensor]:
    header.pop("__metadata__", None)
    if not header:
        raise NotSafetensorsError("The header names no tensor.")
    found, places = {}, []
    for name, entry in header.items():
        found[name], begin, end = _entry(entry)
        places.append((begin, end))
    last = 0
    for begin, end in sorted(places):
        if begin != last:
            raise NotSafetensorsError("The tensors overlap, or there is a gap between them.")
        last = end
    if last != data_bytes:
        raise NotSafetensorsError("The header speaks of more or fewer bytes than the file has; was it cut off?")
    return found


def _entry(entry: Any) -> tuple[Tensor, int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise NotSafetensorsError("A tensor has something other than dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise NotSafetensorsError("A tensor has an unknown dtype.")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2 or len(shape) > 16:
        raise NotSafetensorsError("A tensor has a shape or offsets that are not numbers.")
    begin, end = offsets
    if end - begin != prod(shape) * ITEM_BYTES[dtype]:
        raise NotSafetensorsError("The offsets of a tensor do not agree with its shape.")
    return Tensor(dtype, tuple(shape)), begin, end


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
