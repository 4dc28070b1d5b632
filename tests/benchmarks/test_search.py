"""The search benchmark: which methods it searches, how it judges what was found, what it stores beside what."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.core.params import Kind, MethodParams
from app.methods.finetune import FinetuneParams
from app.methods.ssd import SsdParams
from benchmarks import search
from benchmarks.search import compared, gained, methods, name_of, runs, store
from benchmarks.search_report import line, plot, tables
from worker.numerics.errors import NonFinite
from worker.rehearsal import Scored

CONFIRMED = {"nothing": [0.5], **gained([0.30, 0.32], [0.10, 0.16])}
ROW = {"trials": 9, "failed": 2, "why": "x", "found": {"epochs": 3, "rate_factor": 0.123456}, "better": True}
BETTER = {**ROW, "searched": {"default": None, "found": 0.09}, "confirmed": CONFIRMED}
SAME = {**BETTER, "found": None, "better": False, "confirmed": {"nothing": [0.5], **gained([0.2], [0.2])}}
FAILED = {"trials": 9, "failed": 9, "why": "too_large: the kernel"}
DIVERGES = {**BETTER, "better": False, "confirmed": {"nothing": [0.5], **gained([0.1, 0.1], [0.05, None])}}


def rehearsals(monkeypatch: pytest.MonkeyPatch, gap: Any) -> list[Any]:
    """Two, on which a method is worth what `gap` says of its parameters and the rehearsal's number."""

    def unlearn(problem: SimpleNamespace, params: MethodParams) -> tuple[int, MethodParams]:
        return problem.number, params

    def score(outcome: Any) -> Scored:
        return Scored(9.0 if hasattr(outcome, "weights") else gap(*outcome), {})

    monkeypatch.setattr("benchmarks.search.registry", SimpleNamespace(unlearn=unlearn))
    return [SimpleNamespace(problem=SimpleNamespace(number=n, old={}), score=score) for n in (0, 1)]


def test_searched_is_whatever_the_catalogue_can_search_without_what_a_rehearsal_lacks() -> None:
    for kind in search.KINDS:
        names = {name_of(method) for method in methods(kind)}
        assert {"eu_k", "ssd", "ntk_scrub", "scrub"} <= names
        # no space; no recorded deltas; other kinds of request
        assert not {"retrain", "noisy_finetune", "amnesiac", "consistency", "potion"} & names


def test_a_method_that_needs_what_no_rehearsal_has_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.search.HAD", search.HAD - SsdParams().needs(Kind.CLASS))
    assert SsdParams not in methods(Kind.CLASS)
    assert FinetuneParams in methods(Kind.CLASS)


def test_what_is_found_is_judged_on_rehearsals_that_the_search_never_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    def gap(number: int, params: FinetuneParams) -> float:
        return abs(params.rate_factor - (0.5, 3.0)[number])  # the default is 1.5

    seen, unseen = rehearsals(monkeypatch, gap)
    row = compared(FinetuneParams, [seen], [unseen], 6)
    assert row["searched"]["found"] < row["searched"]["default"] == 1.0
    assert row["confirmed"]["default"] == [1.5]
    assert row["confirmed"]["gain"] == 1.5 - row["confirmed"]["found"][0] < 0
    assert row["confirmed"]["nothing"] == [9.0]
    assert not row["better"]


def test_better_is_what_is_better_on_every_one_of_them() -> None:
    assert gained([0.3, 0.2], [0.1, 0.1])["range"] == pytest.approx([0.1, 0.2])
    assert gained([0.3, 0.2], [0.1, 0.1])["gain"] == pytest.approx(0.15)
    assert gained([0.3, None], [0.1, 0.1])["gain"] is None
    assert gained([0.3, 0.2], [None, 0.1])["range"] is None


def test_a_method_all_of_whose_trials_fail_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def gap(_number: int, _params: MethodParams) -> float:
        raise NonFinite("it diverged")

    row = compared(FinetuneParams, rehearsals(monkeypatch, gap), [], 3)
    assert row == {"trials": 3, "failed": 3, "why": "non_finite: it diverged"}
    assert line("class", "finetune", row).endswith("all trials failed: non_finite: it diverged")


def test_a_failure_on_an_unseen_rehearsal_is_no_gain_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def gap(number: int, params: FinetuneParams) -> float:
        if number and params.rate_factor == FinetuneParams().rate_factor:
            raise NonFinite("it diverged")
        return params.rate_factor

    first, second = rehearsals(monkeypatch, gap)
    row = compared(FinetuneParams, [first], [second], 6)
    assert row["confirmed"]["default"] == [None]
    assert row["confirmed"]["gain"] is None
    assert not row["better"]


def test_the_table_has_what_gains_most_first_and_failures_last() -> None:
    lines = tables({"class": {"failed": FAILED, "same": SAME, "diverges": DIVERGES, "better": BETTER}}).splitlines()
    assert lines[0] == "**class**; nothing done: 50.00"
    assert [row.split("|")[1].strip() for row in lines[4:]] == ["`better`", "`same`", "`failed`", "`diverges`"]
    assert lines[4] == (
        "| `better` | 31.00 | 13.00 | **18.00 (16.00 to 20.00)** | epochs: 3, rate_factor: 0.123 | 2 of 9 |"
    )
    assert lines[5] == "| `same` | 20.00 | 20.00 | 0.00 (0.00 to 0.00) | the defaults | 2 of 9 |"
    assert lines[6] == "| `failed` |  |  |  | all trials failed: too_large: the kernel | 9 of 9 |"
    assert "| 10.00 | failed | – |" in lines[7]


def test_a_method_is_stored_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.search.RESULTS", tmp_path)
    store(Kind.CLASS, "ssd", SAME)
    store(Kind.SAMPLES, "ssd", SAME)
    store(Kind.CLASS, "eu_k", FAILED)
    store(Kind.CLASS, "ssd", BETTER)
    kinds = json.loads((tmp_path / "search.json").read_text())["kinds"]
    assert {kind: set(rows) for kind, rows in kinds.items()} == {"class": {"ssd", "eu_k"}, "samples": {"ssd"}}
    assert kinds["class"]["ssd"]["better"]
    assert not kinds["samples"]["ssd"]["better"]
    assert (tmp_path / "search.md").read_text() == tables(kinds) + "\n"


def test_a_run_that_is_cut_short_keeps_the_methods_that_were_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_data: Any, _kind: Kind, asked: Sequence[type[MethodParams]], *, quick: bool) -> Iterator[tuple[str, Any]]:
        assert not quick
        yield name_of(asked[0]), {**BETTER, "seconds": 1.0}
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.search.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.search.measured", cut)
    data = SimpleNamespace(train=SimpleNamespace(at=lambda rows: rows))
    monkeypatch.setattr("benchmarks.search.read", lambda *_: data)
    with pytest.raises(KeyboardInterrupt):
        search.main(["--kind", "class", "--method", "ssd", "eu_k"])
    kinds = json.loads((tmp_path / "search.json").read_text())["kinds"]
    assert kinds["class"].keys() == {"eu_k"}
    assert kinds["class"]["eu_k"]["environment"]["torch"] == torch.__version__


def test_a_full_run_carries_a_method_out_for_every_trial_and_to_confirm() -> None:
    assert runs(searched=2, confirmed=3, trials=10) == 26


def test_the_picture_shows_both_kinds(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot({"class": {"a": BETTER, "b": FAILED, "c": DIVERGES}, "samples": {"a": SAME}}, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
