"""The figures have the shape that is promised, on networks that take no time."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from app.architectures.mlp import MlpParams
from benchmarks import fisher, fisher_registration
from benchmarks.fisher_alone import errors_of, look, truth_of
from benchmarks.fisher_models import Case, Kind
from benchmarks.fisher_rows import ROWS, Prepare, Ready, Squares


def linear() -> Kind:
    return Kind(lambda: nn.Linear(4, 10), (4,), 8, 4)


def given(squares: Squares) -> Prepare:
    return lambda _: Ready(lambda: squares, dict)


def images(folder: Path, n: int) -> None:
    picture = io.BytesIO()
    Image.new("L", (28, 28), 7).save(picture, "PNG")
    rows = [{"image": {"bytes": picture.getvalue()}, "label": i % 10} for i in range(n)]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")


def test_the_quick_form_gives_all_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "fashion-mnist", 1500)
    monkeypatch.setattr(fisher, "KINDS", {"mlp": linear(), "vit": linear()})
    monkeypatch.setattr(fisher_registration, "PARAMS", MlpParams(input_shape=(1, 28, 28), classes=10, layers=1))
    for row in ("vmap", "vmap_chunks"):  # the first vmap of a process loads code for seconds
        monkeypatch.setitem(ROWS, row, ROWS["loop"])
    threads = torch.get_num_threads()
    fisher.main(["--quick", "--data", str(tmp_path)])
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "|  | mlp | vit |"
    figures = json.loads(printed[-1])
    assert figures["models"].keys() == {"mlp", "vit"}
    for model in figures["models"].values():
        assert min(model["ours"], model["best_exact_peer"]) > 0
        assert model["max_normwise_error_fp64"] < 1e-12
        assert model["peak_mib"] >= 0
        assert model["plain_peak_mib"] >= 0
        assert model["peers"].keys() == set(ROWS) - {"plain", "ours", "ours_eager"}
        assert model["ours_eager"]["ratio"] > 0
        assert model["ours_by"] == "interception"
        assert model["best_exact_peer"] == model["peers"][model["best_exact_peer_name"]]["ratio"]
        assert all(seen.keys() >= {"ratio", "exact"} or seen["failed"] for seen in model["peers"].values())
    assert figures["registration"].keys() >= {"seconds", "peak_mib"}
    assert figures["registration"]["samples"] == 150
    assert figures["subtraction"]["max_normwise_difference"] < 1e-5
    assert figures["subtraction_speedup"] > 0


def test_a_peer_that_is_wrong_or_passes_over_a_parameter_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    case = linear().case()
    truth = truth_of(case)
    halves = {name: 0.5 * t for name, t in truth.items()}
    one = {"weight": truth["weight"]}
    monkeypatch.setattr(
        "benchmarks.fisher_alone.ROWS", {n: given(f) for n, f in (("a", halves), ("b", one), ("loop", truth))}
    )
    assert errors_of(halves, truth).normwise == pytest.approx(0.5)
    seen = {row: {**look(row, case, truth), "ratio": 1.0} for row in ("a", "b", "loop")}
    result = fisher.judged(seen)
    assert [(row["exact"], row["missing_parameters"]) for row in result["peers"].values()] == [
        (False, 0),
        (False, 1),
        (True, 0),
    ]
    assert result["best_exact_peer_name"] == "loop"


def test_nobody_is_wrong_who_is_off_by_what_the_definition_is_in_float32() -> None:
    def off_by(error: float) -> dict[str, float]:
        return {"max_normwise_error": error, "missing_parameters": 0, "ratio": 2.0}

    result = fisher.judged({"loop": off_by(3e-3), "a": {**off_by(5e-3), "ratio": 1.5}, "b": off_by(7e-3)})
    assert [row["exact"] for row in result["peers"].values()] == [True, True, False]
    assert result["best_exact_peer_name"] == "a"


def test_what_a_peer_raises_is_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(case: Case) -> Ready:
        raise NotImplementedError(f"no {type(case.network).__name__}")

    monkeypatch.setattr("benchmarks.fisher_alone.ROWS", {"a": refuses})
    assert look("a", linear().case(), {}) == {"failed": "NotImplementedError: no Linear"}
