"""Artifacts in and out: safetensors with a SHA-256 that is checked before use, written whole or not at all."""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.core.digests import sha256_of
from app.core.errors import Invalid
from worker.numerics.deltas import Deltas
from worker.numerics.fisher import Fisher
from worker.numerics.weights import Weights

EXCLUDED = "#excluded_positions"  # beside the Fisher's sums; no parameter name contains '#'


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """Write tensors atomically: a reader sees the old file or the whole new one. Returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, partial, dict(facts or {}))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    return sha256_of(path)


def read_weights(path: Path, *, sha256: str, skeleton: nn.Module) -> Weights:
    """The weights of a file, after its digest, names, dtypes and shapes have been compared with the architecture's.

    Args:
        path: a safetensors file.
        sha256: what its content must hash to.
        skeleton: a network of the architecture; its values are not read.

    Raises:
        Invalid: another digest, not safetensors, other names, dtypes or shapes, NaN or infinity.
    """
    if sha256_of(path) != sha256:
        raise Invalid(
            "the stored weights are not those that were registered: their SHA-256 differs", code="digest_mismatch"
        )
    expected = skeleton.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            _compare(expected, {name: file.get_slice(name) for name in file.keys()})  # noqa: SIM118 - not a mapping
        weights = load_file(path)
    except SafetensorError as error:
        raise Invalid(f"not a readable safetensors file: {error}", code="not_safetensors") from error
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise Invalid(f"tensor {name} has NaN or infinite values", code="non_finite")
        if tensor.dtype != expected[name].dtype:
            raise Invalid(
                f"tensor {name} is {tensor.dtype}, the architecture has {expected[name].dtype}", code="wrong_dtype"
            )
    return weights


def _compare(expected: Mapping[str, Tensor], found: Mapping[str, object]) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise Invalid(
            f"the names differ from the architecture's: {_some(missing)} missing, {_some(extra)} unknown",
            code="wrong_names",
        )
    for name, part in found.items():
        shape = tuple(part.get_shape())  # type: ignore[attr-defined]  # safetensors ships no types
        if shape != tuple(expected[name].shape):
            raise Invalid(
                f"tensor {name} has shape {shape}, the architecture {tuple(expected[name].shape)}", code="wrong_shapes"
            )


def _some(names: list[str]) -> str:
    return "none" if not names else ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def write_fisher(path: Path, fisher: Fisher, *, excluded: Tensor) -> str:
    """Store S_D, N, what they are bound to, and the positions of the data set that D leaves out."""
    facts = {"count": fisher.count, "weights_sha256": fisher.weights_sha256, "data_sha256": fisher.data_sha256}
    # One entry: safetensors writes several in an arbitrary order, and the file's digest with them.
    return write(path, {**fisher.sums, EXCLUDED: excluded}, {"facts": json.dumps(facts, sort_keys=True)})


def read_fisher(path: Path, *, sha256: str) -> tuple[Fisher, Tensor]:
    """The stored Fisher and the positions that it leaves out.

    Raises:
        Invalid: another digest.
    """
    if sha256_of(path) != sha256:
        raise Invalid(
            "the stored Fisher diagonal is not the one that was computed: its SHA-256 differs", code="digest_mismatch"
        )
    with safe_open(path, framework="pt") as file:
        found = file.metadata()
    facts = json.loads(found["facts"]) if "facts" in found else found  # older files have an entry for each
    tensors = load_file(path)
    excluded = tensors.pop(EXCLUDED)
    return Fisher(
        sums=tensors,
        count=int(facts["count"]),
        weights_sha256=facts["weights_sha256"],
        data_sha256=facts["data_sha256"],
    ), excluded


def write_deltas(path: Path, deltas: Tensor, positions: Tensor, *, data_sha256: str) -> str:
    """Store the steps of a training, `(K, P)` float32 and `(K, B)` int64, and the data that the positions are of."""
    facts = json.dumps({"data_sha256": data_sha256})
    return write(path, {"deltas": deltas, "positions": positions}, {"facts": facts})


def read_deltas(path: Path, *, sha256: str) -> tuple[Deltas, str]:
    """The steps, each read when it is asked for, and the digest of the data that their positions are of.

    Raises:
        Invalid: another digest, or it does not say of which data.
    """
    if sha256_of(path) != sha256:
        raise Invalid("the stored deltas are not those that were registered", code="digest_mismatch")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return Deltas(file.get_tensor("positions"), partial(_delta, path)), str(facts["data_sha256"])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise Invalid(f"not deltas with the data_sha256 of their data: {error}", code="deltas_differ") from error


def _delta(path: Path, step: int) -> Tensor:
    with safe_open(path, framework="pt") as file:
        row: Tensor = file.get_slice("deltas")[step]
        return row


def digest_of(document: object) -> str:
    """SHA-256 of a JSON document with sorted keys: binds results to preprocessing and data."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
