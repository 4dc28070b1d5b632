"""A manifest is checked once, whole; its examples come out the same however they are kept."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from app.core.errors import Invalid
from app.core.params import InputKind
from app.datasets import index
from worker.datasets import Manifest, StreamedExamples, examples_at, validate
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.run import Quiet

COLUMNS = {"sample_id": "id", "input": "picture", "label": "y", "subject_id": None, "split": None}


def png(seed: int, size: tuple[int, int] = (5, 4)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, n: int = 10, **columns: Any) -> Path:
    rows = {"id": [f"s{i}" for i in range(n)], "picture": [png(i) for i in range(n)], "y": [i % 3 for i in range(n)]}
    pq.write_table(pa.table({**rows, **columns}), path, row_group_size=4)
    return path


def check(path: Path, folder: Path, columns: dict[str, str | None] | None = None) -> Any:
    return validate(Manifest(path, columns or COLUMNS), classes=3, index_path=folder / "index.sqlite", run=Quiet())


def test_facts_and_a_sorted_index_come_out_of_a_good_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", id=[f"s{9 - i}" for i in range(10)])
    facts = check(path, tmp_path)
    assert facts.rows == 10
    assert facts.input_shape == (1, 5, 4)
    assert facts.counts == {"train": {"0": 4, "1": 3, "2": 3}}
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    found = index.positions_of(tmp_path / "index.sqlite", [f"s{i}" for i in range(10)])
    assert [where and where.position for where in found] == list(range(9, -1, -1))


def test_the_files_of_a_folder_are_splits_by_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "test-0.parquet", n=3, id=["a", "b", "c"])
    write(folder / "train-0.parquet", n=6)
    assert check(folder, tmp_path).counts == {
        "test": {"0": 1, "1": 1, "2": 1},
        "train": {"0": 2, "1": 2, "2": 2},
    }


def test_feature_lists_are_inputs_too(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", picture=[[float(i), 0.5] for i in range(10)])
    assert check(path, tmp_path).input_shape == (2,)


def test_texts_are_inputs_too_and_the_longest_is_measured_in_words(tmp_path: Path) -> None:
    facts = check(write(tmp_path / "d.parquet", picture=["", "Don't!", *["one two"] * 8]), tmp_path)
    assert (facts.input_kind, facts.input_shape) == (InputKind.TEXT, (4,))


def both_kinds(folder: Path) -> Path:
    folder.mkdir()
    write(folder / "a.parquet")
    write(folder / "b.parquet", id=[f"t{i}" for i in range(10)], picture=["text"] * 10)
    return folder


BAD: list[tuple[str, Callable[[Path], Path]]] = [
    ("duplicate_sample_ids", lambda p: write(p, id=["same"] * 2 + [f"s{i}" for i in range(8)])),
    ("label_out_of_range", lambda p: write(p, y=[0] * 9 + [3])),
    ("label_out_of_range", lambda p: write(p, y=[0] * 9 + [-1])),
    ("labels_not_integers", lambda p: write(p, y=["cat"] * 10)),
    ("null_values", lambda p: write(p, id=[None, *[f"s{i}" for i in range(9)]])),
    ("null_values", lambda p: write(p, picture=[None, *[png(i) for i in range(9)]])),
    ("unreadable_image", lambda p: write(p, picture=[b"no image"] * 10)),
    ("unreadable_image", lambda p: write(p, picture=[png(0)[:40]] * 10)),
    ("mixed_shapes", lambda p: write(p, picture=[png(0, (5, 4))] * 9 + [png(0, (6, 4))])),
    ("mixed_shapes", lambda p: write(p, picture=[[1.0]] * 9 + [[1.0, 2.0]])),
    ("non_finite", lambda p: write(p, picture=[[float("nan")]] * 10)),
    ("unsupported_input", lambda p: write(p, picture=list(range(10)))),
    ("no_words", lambda p: write(p, picture=[" "] * 10)),
    ("null_values", lambda p: write(p, picture=[None, *["text"] * 9])),
    ("mixed_shapes", lambda p: both_kinds(p.with_name("set"))),
    ("empty_dataset", lambda p: write(p, n=0, y=pa.array([], pa.int64()))),
]


@pytest.mark.parametrize(("code", "make"), BAD, ids=[f"{i}-{code}" for i, (code, _) in enumerate(BAD)])
def test_a_bad_manifest_is_refused_with_its_reason(tmp_path: Path, code: str, make: Callable[[Path], Path]) -> None:
    with pytest.raises(Invalid) as refused:
        check(make(tmp_path / "d.parquet"), tmp_path)
    assert refused.value.code == code
    assert not (tmp_path / "index.sqlite").exists()


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"label \(class\)") as refused:
        check(write(tmp_path / "d.parquet"), tmp_path, {**COLUMNS, "label": "class"})
    assert refused.value.code == "missing_columns"


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(Invalid) as refused:
        check(path, tmp_path)
    assert refused.value.code == "not_parquet"


def test_the_row_of_the_first_wrong_label_is_told_across_row_groups(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="first at row 9"):
        check(write(tmp_path / "d.parquet", y=[0] * 9 + [7]), tmp_path)


def both_ways(path: Path, positions: list[int]) -> tuple[TensorExamples, StreamedExamples]:
    chosen, labels = torch.tensor(positions), torch.tensor([p % 3 for p in positions])
    parts = [
        examples_at(
            Manifest(path, COLUMNS), chosen, labels,
            input_shape=(1, 5, 4), normalisation=Normalisation((0.5,), (2.0,)), budget_bytes=budget,
        )
        for budget in (10**6, 0)
    ]  # fmt: skip
    assert isinstance(parts[0], TensorExamples)
    assert isinstance(parts[1], StreamedExamples)
    return parts[0], parts[1]


def test_streamed_examples_equal_those_in_memory(tmp_path: Path) -> None:
    memory, streamed = both_ways(write(tmp_path / "d.parquet"), [8, 1, 5, 6])
    whole = [torch.cat(parts) for parts in zip(*streamed.batches(2), strict=True)]
    expected = next(iter(memory.batches(10)))
    assert torch.equal(whole[0], expected.inputs)
    assert whole[1].tolist() == expected.labels.tolist() == [1, 2, 0, 2]
    assert whole[2].tolist() == [1, 5, 6, 8]


def test_a_streamed_shuffle_gives_everything_once_and_is_reproducible(tmp_path: Path) -> None:
    _, streamed = both_ways(write(tmp_path / "d.parquet"), list(range(10)))

    def order(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([b.positions for b in streamed.batches(3, generator=generator)]).tolist()

    assert sorted(order(1)) == list(range(10))
    assert order(1) == order(1) != order(2)


def test_streamed_batches_are_full_but_for_the_last(tmp_path: Path) -> None:
    _, streamed = both_ways(write(tmp_path / "d.parquet"), list(range(10)))  # row groups of 4, 4 and 2
    for generator in (None, torch.Generator().manual_seed(0)):
        assert [len(b.labels) for b in streamed.batches(3, generator=generator)] == [3, 3, 3, 1]
        assert [len(b.labels) for b in streamed.batches(5, generator=generator)] == [5, 5]


def test_an_image_with_sixteen_bits_is_refused_not_flattened(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((5, 4), 1000, dtype=np.uint16)).save(buffer, "PNG")
    with pytest.raises(Invalid) as refused:
        check(write(tmp_path / "d.parquet", picture=[buffer.getvalue()] * 10), tmp_path)
    assert refused.value.code == "unsupported_input"


def test_only_png_and_jpeg_are_decoded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((5, 4), dtype=np.uint8)).save(buffer, "GIF")
    with pytest.raises(Invalid) as refused:
        check(write(tmp_path / "d.parquet", picture=[buffer.getvalue()] * 10), tmp_path)
    assert refused.value.code == "unreadable_image"


def test_changes_come_before_normalisation(tmp_path: Path) -> None:
    for examples in both_ways(write(tmp_path / "d.parquet"), [0, 1]):
        white = examples.through(torch.ones_like)
        assert set(next(iter(white.batches(2))).inputs.flatten().tolist()) == {0.25}  # (1 − 0.5) / 2


def test_raw_inputs_are_scaled_and_changed_but_not_normalised(tmp_path: Path) -> None:
    for examples in both_ways(write(tmp_path / "d.parquet"), [0, 1]):
        white = examples.through(torch.ones_like).unnormalised()
        assert set(next(iter(white.batches(2))).inputs.flatten().tolist()) == {1.0}
        assert examples.normalisation == Normalisation((0.5,), (2.0,))


def test_texts_are_cut_padded_and_the_same_however_they_are_kept(tmp_path: Path) -> None:
    texts = [f"A word, and number {i}" for i in range(9)] + ["short"]
    path = write(tmp_path / "d.parquet", picture=texts)
    examples = [
        examples_at(
            Manifest(path, COLUMNS), torch.tensor([0, 5, 9]), torch.tensor([0, 1, 2]),
            input_shape=(4,), normalisation=Normalisation(vocabulary=50), budget_bytes=budget,
        )
        for budget in (10**6, 0)
    ]  # fmt: skip
    assert [type(e) for e in examples] == [TensorExamples, StreamedExamples]
    kept, streamed = (next(e.batches(3)).inputs for e in examples)
    assert torch.equal(kept, streamed)
    assert torch.equal(kept[0], kept[1])  # they differ beyond the fourth word
    assert kept[2, 1:].tolist() == [0, 0, 0]
    assert kept.min() == 0
    assert 0 < kept[0].min() <= kept.max() < 50
