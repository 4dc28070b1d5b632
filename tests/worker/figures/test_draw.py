"""Figures show what was measured, can be drawn again from their numbers, and say nothing of single samples."""

import hashlib
import json
import re
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain.findings import Finding
from app.metrics.mia_confidence import MiaConfidenceParams
from tests.worker.figures.conftest import FORGET, METRICS, TEST
from worker import registry
from worker.figures import bars, classes, losses, weights
from worker.figures.draw import draw
from worker.numerics.outcome import Bench, Model
from worker.reported import reported

DRAWERS = {
    "accuracy": bars.draw,
    "attacks": bars.draw,
    "roc": losses.draw_rocs,
    "roc_reference": losses.draw_rocs,
    "losses": losses.draw_histograms,
    "classes": classes.draw_by_class,
    "confusion": classes.draw_confusion,
    "weights": weights.draw,
}


def found(bench: Bench) -> list[Finding]:
    return [reported(f, seed=1) for f in chain.from_iterable(registry.measure(bench, metric) for metric in METRICS)]


@pytest.fixture
def drawn(bench: Bench, tmp_path: Path) -> dict[str, Any]:
    return {figure.name: figure for figure in draw(bench, found(bench), tmp_path / "figures")}


def numbers(tmp_path: Path, name: str) -> Any:
    return json.loads((tmp_path / "figures" / f"{name}.json").read_bytes())


def test_every_figure_is_bound_by_its_digests_and_is_drawn_again_from_its_numbers(
    drawn: dict[str, Any], tmp_path: Path
) -> None:
    assert drawn.keys() == DRAWERS.keys()
    for name, figure in drawn.items():
        svg, data = ((tmp_path / "figures" / f"{name}.{kind}").read_bytes() for kind in ("svg", "json"))
        assert hashlib.sha256(svg).hexdigest() == figure.svg_sha256
        assert hashlib.sha256(data).hexdigest() == figure.data_sha256
        assert DRAWERS[name](json.loads(data)) == svg


def test_a_drawing_asks_for_nothing_from_outside_and_has_nothing_a_pdf_cannot_show(
    drawn: dict[str, Any], tmp_path: Path
) -> None:
    for name in drawn:
        svg = (tmp_path / "figures" / f"{name}.svg").read_text()
        assert not re.findall(r"<(image|script|foreignObject|pattern|text)\b", svg)
        assert set(re.findall(r'href="([^"]{0,1})', svg)) <= {"#"}
        assert len(svg) < 200_000


def test_the_bars_are_the_findings(drawn: dict[str, Any], tmp_path: Path, bench: Bench) -> None:  # noqa: ARG001
    by = {f.on: f for f in found(bench) if f.measure == "accuracy"}
    rows = numbers(tmp_path, "accuracy")["rows"]
    assert [row["set"] for row in rows] == ["forget", "retain", "test"]
    for row in rows:
        f = by[row["set"]]
        assert f.gold is not None
        assert row["values"] == {"before": f.before, "no_op": f.no_op, "after": f.after, "gold": f.gold.mean}
        assert row["intervals"]["after"] == list(f.interval)
        assert all(low <= row["values"][model] <= high for model, (low, high) in row["intervals"].items())


def test_bars_of_several_attacks_name_theirs(bench: Bench) -> None:
    def labels(*attacks: str) -> list[str]:
        params = MiaConfidenceParams.model_validate({"attacks": attacks})
        plot = bars.attacks([reported(f, seed=1) for f in registry.measure(bench, params)])
        assert plot is not None
        assert b"<svg" in plot.draw(json.loads(json.dumps(dict(plot.numbers))))
        return [row["label"] for row in plot.numbers["rows"]]

    assert labels("confidence") == ["taken for training data"]
    assert labels("modified_entropy") == ["taken for training data\n(modified entropy attack)"]
    assert labels("confidence", "entropy") == [
        "taken for training data\n(confidence attack)",
        "taken for training data\n(entropy attack)",
    ]


def test_the_curves_have_the_areas_that_they_state(drawn: dict[str, Any], tmp_path: Path) -> None:  # noqa: ARG001
    alone, helped = (numbers(tmp_path, name)["curves"] for name in ("roc", "roc_reference"))
    assert alone.keys() == {"before", "after", "gold"}
    assert helped.keys() == {"before", "after"}  # the only gold model cannot be attacked with its own help
    assert helped["before"]["area"] > 0.6
    for curve in [*alone.values(), *helped.values()]:
        area = np.trapezoid(curve["true_positives"], curve["false_positives"])
        assert area == pytest.approx(curve["area"], abs=1e-9)
        assert 0 < curve["error"] < 0.2


def test_every_sample_is_in_one_bin(drawn: dict[str, Any], tmp_path: Path) -> None:  # noqa: ARG001
    counts = numbers(tmp_path, "losses")["counts"]
    assert {sum(sets["forget"]) for sets in counts.values()} == {len(FORGET)}
    assert {sum(sets["test"]) for sets in counts.values()} == {len(TEST)}


def test_classes_and_confusion_agree(drawn: dict[str, Any], tmp_path: Path) -> None:  # noqa: ARG001
    table = np.array(numbers(tmp_path, "confusion")["counts"]["after"])
    assert table.sum() == len(TEST)
    for row in numbers(tmp_path, "classes")["rows"]:
        own = table[row["class"]]
        assert own.sum() == row["n"]
        assert own[row["class"]] / row["n"] == pytest.approx(row["values"]["after"])


def test_the_map_of_the_weights_shows_what_moved_and_nothing_else(bench: Bench) -> None:
    moved = {name: tensor.clone() for name, tensor in bench.before.weights.items()}
    name = next(iter(moved))
    moved[name].view(-1)[:1] += 3.0
    layers = {layer["name"]: layer for layer in weights.layers_of(bench.before.weights, moved)}
    hit = layers.pop(name)
    assert hit["changed"] == 1 / moved[name].numel()
    assert [value > 0 for value in hit["map"]] == [True] + [False] * (weights.PIECES - 1)
    assert all(layer["changed"] == 0 and not any(layer["map"]) for layer in layers.values())


def test_without_gold_and_without_held_out_data_what_can_be_shown_is_shown(bench: Bench, tmp_path: Path) -> None:
    poor = replace(bench, golds=(), sets={name: bench.sets[name] for name in ("retain", "forget")})
    assert {f.name for f in draw(poor, found(poor), tmp_path)} == {"accuracy", "losses", "weights"}
    assert json.loads((tmp_path / "losses.json").read_bytes())["counts"].keys() == {"before", "after"}


def test_a_class_that_is_never_answered_is_drawn(bench: Bench, tmp_path: Path) -> None:
    after = Model(bench.after.build, bench.after.weights, frozenset({3}))  # its loss is infinite
    silenced = replace(bench, after=after)
    draw(silenced, found(silenced), tmp_path)
    assert not np.array(json.loads((tmp_path / "confusion.json").read_bytes())["counts"]["after"])[:, 3].any()


def test_a_large_set_is_drawn_from(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.figures.draw.MOST_SAMPLES", 50)
    draw(bench, found(bench), tmp_path)
    assert sum(json.loads((tmp_path / "losses.json").read_bytes())["counts"]["after"]["test"]) == 50
