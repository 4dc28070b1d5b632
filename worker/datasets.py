"""Data sets: from a Parquet manifest to examples, and the check that a manifest is one."""

import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from app.core.digests import sha256_of
from app.core.errors import Invalid
from app.core.params import InputKind
from app.core.words import words_of
from app.datasets import index
from app.datasets.paths import parquet_files
from worker.numerics.examples import Batch, Change, Examples, Normalisation, TensorExamples, prepare
from worker.numerics.run import Run
from worker.numerics.words import encoded

SPLITS = ("train", "test", "validation")
PIXEL_LIMIT = 64_000_000
BLOCK_ROWS = 4096
INDEXED = ("position", "sample_id", "label", "split", "subject_id")
RAW = {InputKind.IMAGES: torch.uint8, InputKind.FEATURES: torch.float32, InputKind.TEXT: torch.int64}
"""How inputs are kept before they are prepared."""
MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
"""What an image of this mode is decoded to; 16-bit greys would lose what they show."""


@dataclass(frozen=True)
class Facts:
    """What validation finds out about a manifest."""

    sha256: str
    rows: int
    input_kind: InputKind
    input_shape: tuple[int, ...]  # of texts, the words of the longest
    counts: dict[str, dict[str, int]]  # split -> class -> samples


@dataclass(frozen=True)
class Manifest:
    """A Parquet file, or a folder of them, with a mapping from our columns to its own.

    Without a split column the file name decides as is usual for published data sets: `train*.parquet`, `test*.parquet`,
    `validation*.parquet`; any other file is training data. Models learn from `train`, audits measure on `test`, and
    methods that need data of neither kind look at `validation`.
    """

    path: Path
    columns: Mapping[str, str | None]  # sample_id, input, label, and maybe subject_id, split

    @cached_property
    def files(self) -> list[Path]:
        """The Parquet files, in order of their names; positions count through them in this order."""
        return parquet_files(self.path)

    @cached_property
    def kind(self) -> InputKind:
        """What its inputs are, by the type of their column; all files must have columns of one kind.

        Raises:
            Invalid: they are neither images nor lists of numbers nor text, or of several kinds.
        """
        column = str(self.columns["input"])
        kinds = {kind_of(pq.read_schema(file).field(column).type) for file in self.files}
        if len(kinds) > 1:
            raise Invalid(f"inputs are of several kinds: {', '.join(sorted(kinds))}", code="mixed_shapes")
        return kinds.pop()

    def sha256(self) -> str:
        """Digest of the content: the file's own, or that over the names and digests of a folder's files."""
        digests = [(file.name, sha256_of(file)) for file in self.files]
        if self.path.is_file():
            return digests[0][1]
        return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in digests).encode()).hexdigest()

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """(file, row group, first position) of every row group."""
        first = 0
        for number, file in enumerate(self.files):
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                yield number, group, first
                first += metadata.row_group(group).num_rows

    def read(self, file: int, group: int, columns: list[str]) -> pa.Table:
        """Some of our columns of one row group, under our names."""
        theirs = [name for c in columns if (name := self.columns.get(c))]
        table = pq.ParquetFile(self.files[file]).read_row_group(group, columns=theirs)
        return table.select(theirs).rename_columns([c for c in columns if self.columns.get(c)])


def validate(manifest: Manifest, *, classes: int, index_path: Path, run: Run) -> Facts:
    """Read a manifest once, whole: check it, decode every input, write the sorted index of its ids.

    Raises:
        Invalid: what is wrong, with the first positions; never an id or a value.
    """
    _check_columns(manifest)
    total = sum(pq.read_metadata(file).num_rows for file in manifest.files)
    if total == 0:
        raise Invalid("the manifest has no rows", code="empty_dataset")
    shapes: Counter[tuple[int, ...]] = Counter()
    parts = []
    for file, group, first in manifest.blocks():
        table = manifest.read(file, group, ["sample_id", "input", "label", "subject_id", "split"])
        for start in range(0, len(table), BLOCK_ROWS):
            part = table.slice(start, BLOCK_ROWS)
            parts.append(_index_part(manifest, part, first + start, file, classes))
            shapes[_shape(part["input"], first + start)] += len(part)
            if len(shapes) > 1 and manifest.kind is not InputKind.TEXT:
                raise Invalid(f"inputs have different shapes: {', '.join(map(str, shapes))}", code="mixed_shapes")
            run.progress("validate", first + start + len(part), total, "samples")
    if max(shapes) == (0,):
        raise Invalid("there is no word in any of the texts", code="no_words")
    whole = pa.concat_tables(parts)
    try:
        index.write(index_path, _rows(whole))
    except index.DuplicateIds as error:
        raise Invalid(str(error), code="duplicate_sample_ids") from None
    pairs = zip(whole["split"].to_pylist(), whole["label"].to_pylist(), strict=True)
    counts: dict[str, dict[str, int]] = {}
    for (split, label), n in sorted(Counter(pairs).items()):
        counts.setdefault(split, {})[str(label)] = n
    return Facts(manifest.sha256(), total, manifest.kind, max(shapes), counts)


def _rows(table: pa.Table) -> Iterator[index.Row]:
    for batch in table.to_batches(max_chunksize=BLOCK_ROWS):
        yield from zip(*(batch[name].to_pylist() for name in INDEXED), strict=True)


def read_index(path: Path) -> dict[str, Tensor]:
    """`positions`, `labels` `(N,)` int64 and `train`, `test`, `validation` `(N,)` bool, ordered by position."""
    positions, labels, splits = index.columns(path)
    return {
        "positions": torch.tensor(positions, dtype=torch.int64),
        "labels": torch.tensor(labels, dtype=torch.int64),
        **{split: torch.tensor([s == split for s in splits]) for split in SPLITS},
    }


def _check_columns(manifest: Manifest) -> None:
    if not manifest.files:
        raise Invalid("the folder has no .parquet file", code="empty_dataset")
    for file in manifest.files:
        try:
            names = pq.read_schema(file).names
        except (pa.ArrowInvalid, OSError) as error:
            raise Invalid(f"{file.name} is not a readable Parquet file", code="not_parquet") from error
        missing = [f"{ours} ({theirs})" for ours, theirs in manifest.columns.items() if theirs and theirs not in names]
        if missing:
            raise Invalid(
                f"{file.name} has no column for {', '.join(missing)}; it has {', '.join(names[:20])}",
                code="missing_columns",
            )


def _index_part(manifest: Manifest, table: pa.Table, first: int, file: int, classes: int) -> pa.Table:
    ids = pc.cast(table["sample_id"], pa.string())
    labels = table["label"]
    if not pa.types.is_integer(labels.type):
        raise Invalid(
            f"labels must be integers 0..{classes - 1}, the column is {labels.type}", code="labels_not_integers"
        )
    labels = pc.cast(labels, pa.int64())
    bad = pc.or_kleene(pc.less(labels, 0), pc.greater_equal(labels, classes))
    for column, name in ((ids, "sample_id"), (labels, "label")):
        if column.null_count:
            raise Invalid(
                f"{column.null_count} rows have no {name}, first at row {first + _first(pc.is_null(column))}",
                code="null_values",
            )
    if (wrong := pc.sum(bad).as_py()) > 0:
        raise Invalid(
            f"{wrong} labels are outside 0..{classes - 1}, first at row {first + _first(bad)}",
            code="label_out_of_range",
        )
    n = len(table)
    if "split" in table.column_names:
        split = pc.fill_null(pc.cast(table["split"], pa.string()), "train")
        if unknown := sorted(set(pc.unique(split).to_pylist()) - set(SPLITS)):
            raise Invalid(f"{len(unknown)} unknown split names; splits are {', '.join(SPLITS)}", code="unknown_split")
    else:
        stem = manifest.files[file].stem
        split = pa.array([next((s for s in SPLITS if stem.startswith(s)), "train")] * n, pa.string())
    subject = (
        pc.cast(table["subject_id"], pa.string()) if "subject_id" in table.column_names else pa.nulls(n, pa.string())
    )
    position = pa.array(range(first, first + n), pa.int64())
    return pa.table({"sample_id": ids, "position": position, "label": labels, "split": split, "subject_id": subject})


def _first(mask: pa.ChunkedArray) -> int:
    return int(pc.index(mask, pa.scalar(value=True)).as_py())


def kind_of(column: pa.DataType) -> InputKind:
    """What the inputs in a column of this type are.

    Raises:
        Invalid: none that is known.
    """
    if (pa.types.is_struct(column) and column.get_field_index("bytes") >= 0) or _is_binary(column):
        return InputKind.IMAGES
    if pa.types.is_list(column) or pa.types.is_fixed_size_list(column) or pa.types.is_large_list(column):
        return InputKind.FEATURES
    if pa.types.is_string(column) or pa.types.is_large_string(column):
        return InputKind.TEXT
    raise Invalid(
        f"inputs are image bytes, {{bytes, path}}, lists of numbers or strings; the column is {column}",
        code="unsupported_input",
    )


def _is_binary(column: pa.DataType) -> bool:
    return bool(pa.types.is_binary(column) or pa.types.is_large_binary(column))


def decode(column: pa.ChunkedArray, first: int, *, length: int = 0) -> Tensor:
    """Inputs of a block: images to uint8 `(B, C, H, W)`, float lists to float32 `(B, D)`, texts to int64 `(B, L)`.

    Args:
        column: image bytes, `{bytes, path}` structs, lists of numbers, or strings.
        first: position of the block's first row, for error messages.
        length: L, how many words of a text are kept.
    """
    column = _whole(column, first)
    kind = kind_of(column.type)
    if kind is InputKind.TEXT:
        return torch.tensor([encoded(words_of(text), length) for text in column.to_pylist()], dtype=torch.int64)
    if kind is InputKind.FEATURES:
        return _features(column, first)
    return _images(column if _is_binary(column.type) else column.field("bytes"), first)


def _whole(column: pa.ChunkedArray, first: int) -> pa.Array:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if column.null_count:
        raise Invalid(f"{column.null_count} rows from row {first} on have no input", code="null_values")
    return column


def _shape(column: pa.ChunkedArray, first: int) -> tuple[int, ...]:
    """Of the inputs of a block, all decoded; of texts the words of the longest."""
    if kind_of(column.type) is InputKind.TEXT:
        return (max(len(words_of(text)) for text in _whole(column, first).to_pylist()),)
    return tuple(decode(column, first).shape[1:])


def _images(column: pa.Array, first: int) -> Tensor:
    pixels = [_image(data, first + i) for i, data in enumerate(column.to_pylist())]
    shapes = {p.shape for p in pixels}
    if len(shapes) > 1:
        raise Invalid(f"images have different shapes: {', '.join(map(str, sorted(shapes)))}", code="mixed_shapes")
    return torch.from_numpy(np.stack(pixels))


def _image(data: bytes | None, position: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data or b""), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > PIXEL_LIMIT:
                    raise Invalid(
                        f"the image at row {position} has more than {PIXEL_LIMIT} pixels", code="image_too_large"
                    )
                if image.mode not in MODES:
                    raise Invalid(
                        f"the image at row {position} has more than 8 bits a channel", code="unsupported_input"
                    )
                array = np.array(image.convert(MODES[image.mode]), dtype=np.uint8)
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise Invalid(
            f"the input at row {position} is not a readable PNG or JPEG image", code="unreadable_image"
        ) from error
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _features(column: pa.Array, first: int) -> Tensor:
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise Invalid(f"feature lists from row {first} on have different or no lengths", code="mixed_shapes")
    values = pc.list_flatten(column)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)) or values.null_count:
        raise Invalid(f"feature lists from row {first} on must hold numbers only", code="unsupported_input")
    features = torch.from_numpy(values.to_numpy(zero_copy_only=False).astype(np.float32)).view(-1, lengths[0])
    if not torch.isfinite(features).all():
        raise Invalid(f"features from row {first} on have NaN or infinite values", code="non_finite")
    return features


def examples_at(
    manifest: Manifest,
    positions: Tensor,
    labels: Tensor,
    *,
    input_shape: tuple[int, ...],
    normalisation: Normalisation,
    budget_bytes: int,
) -> Examples:
    """The examples at these positions: in memory where they fit the budget, streamed from Parquet otherwise.

    Args:
        manifest: where the inputs are.
        positions: rows of the manifest, ascending, `(N,)`.
        labels: their labels, from the index, `(N,)`.
        input_shape: S; of texts (L,), the words that are kept.
        normalisation: applied to every batch.
        budget_bytes: how many decoded bytes may stay in memory.
    """
    order = positions.argsort()
    streamed = StreamedExamples(
        manifest,
        positions[order],
        labels[order],
        normalisation=normalisation,
        input_shape=input_shape,
        budget_bytes=budget_bytes,
    )
    return streamed if streamed.bytes > budget_bytes else streamed.in_memory()


@dataclass(frozen=True)
class StreamedExamples(Examples):
    """Examples that are decoded from Parquet each time they are asked for, a block of rows at a time.

    A shuffle draws the order of the row groups and the order within each block: rows of different blocks do not mix
    in a batch.
    """

    manifest: Manifest
    positions: Tensor  # ascending
    labels: Tensor
    normalisation: Normalisation
    input_shape: tuple[int, ...]
    budget_bytes: int
    changes: tuple[Change, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Size of the decoded inputs: images are bytes, features four, words eight."""
        return len(self) * int(np.prod(self.input_shape)) * RAW[self.manifest.kind].itemsize

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All examples once; every batch but the last is full."""
        raw, rows = None, torch.empty(0, dtype=torch.int64)
        for block, found in self._groups(generator):
            within = torch.arange(len(found)) if generator is None else torch.randperm(len(found), generator=generator)
            raw = block[within] if raw is None else torch.cat([raw, block[within]])
            rows = torch.cat([rows, found[within]])
            full = len(rows) // size * size
            for chosen in torch.split(torch.arange(full), size):
                if len(chosen):
                    yield self._batch(raw[chosen], rows[chosen])
            raw, rows = raw[full:], rows[full:]
        if raw is not None and len(rows):
            yield self._batch(raw, rows)

    def _batch(self, raw: Tensor, rows: Tensor) -> Batch:
        return Batch(prepare(raw, self.changes, self.normalisation), self.labels[rows], self.positions[rows])

    def through(self, change: Change) -> Self:
        """The same examples, changed before normalisation."""
        return self._with(changes=(*self.changes, change))

    def unnormalised(self) -> Self:
        """Batches of raw inputs."""
        return self._with(normalisation=Normalisation())

    def at(self, indices: Tensor) -> Examples:
        """In this order and in memory where that fits the budget; in the manifest's order and streamed otherwise."""
        order = indices.argsort()
        chosen = self._with(positions=self.positions[indices[order]], labels=self.labels[indices[order]])
        return chosen if chosen.bytes > self.budget_bytes else chosen.in_memory().at(order.argsort())

    def in_memory(self) -> TensorExamples:
        """Decode everything once."""
        raw = torch.empty((len(self), *self.input_shape), dtype=RAW[self.manifest.kind])
        for part, rows in self._groups(None):
            raw[rows] = part
        return TensorExamples(raw, self.labels, self.positions, self.normalisation, self.changes)

    def _with(self, **parts: Any) -> Self:
        return type(self)(**{**self.__dict__, **parts})

    def _groups(self, generator: torch.Generator | None) -> Iterator[tuple[Tensor, Tensor]]:
        """(decoded inputs, indices into these examples) of every row group that has some of them."""
        blocks = list(self.manifest.blocks())
        sizes = [pq.read_metadata(self.manifest.files[f]).row_group(g).num_rows for f, g, _ in blocks]
        ends = list(accumulate(sizes))
        order = range(len(blocks)) if generator is None else torch.randperm(len(blocks), generator=generator).tolist()
        for number in order:
            file, group, first = blocks[number]
            low, high = torch.searchsorted(self.positions, torch.tensor([first, ends[number]])).tolist()
            if low == high:
                continue
            column = self.manifest.read(file, group, ["input"])["input"]
            for rows in torch.split(torch.arange(low, high), BLOCK_ROWS):
                wanted = pa.array((self.positions[rows] - first).numpy())
                yield decode(column.take(wanted), first, length=self.input_shape[0]), rows
