"""Metric `accuracy`, by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from app.metrics.accuracy import AccuracyParams
from worker.metrics.accuracy import accuracy, class_weights, decisive_from, direction
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]
FORGET = [(1.0, 1), (2.0, 1), (-1.0, 0), (1.0, 0)]  # three of four right
TEST = [(1.0, 1), (-1.0, 1)]


def test_right_answers_are_counted_on_every_set(make_bench: MakeBench) -> None:
    bench = make_bench({"forget": FORGET, "test": TEST}, after=-1.0, golds=(1.0, -1.0))

    forget, test = accuracy(bench, AccuracyParams())

    assert (forget.on, forget.n, forget.before, forget.after, forget.gold) == ("forget", 4, 0.75, 0.25, (0.75, 0.25))
    assert (test.on, test.n, test.before, test.after) == ("test", 2, 0.5, 0.5)
    assert forget.interval == pytest.approx((0.0456, 0.6994), abs=1e-4)  # Wilson, 1 of 4


def test_doing_nothing_changes_nothing(make_bench: MakeBench) -> None:
    for finding in accuracy(make_bench({"forget": FORGET, "test": TEST}), AccuracyParams()):
        assert finding.before == finding.after == finding.no_op


def test_too_few_samples_come_with_a_caveat(make_bench: MakeBench) -> None:
    nearly = [(1.0, 1)] * 89 + [(-1.0, 1)] * 11

    few, _ = accuracy(make_bench({"forget": FORGET, "test": nearly}), AccuracyParams())
    many, _ = accuracy(make_bench({"forget": FORGET * 10, "test": nearly}), AccuracyParams())

    assert decisive_from(0.89) == 26
    assert "below 26" in few.caveats[0]
    assert many.caveats == ()


def test_an_empty_set_is_not_measured(make_bench: MakeBench) -> None:
    bench = make_bench({"test": TEST})
    empty = bench.sets["test"].at(bench.sets["test"].positions[:0])
    bench = Bench(bench.before, bench.after, (), {"forget": empty}, "samples", 2, 0, bench.run)

    assert accuracy(bench, AccuracyParams()) == []


def test_what_is_better_depends_on_what_was_asked() -> None:
    assert [direction("forget", kind) for kind in ("samples", "class", "backdoor", "leakage")] == [
        "gold",
        "lower",
        "lower",
        "higher",
    ]
    assert direction("test_forget", "class") == "lower"
    assert direction("forget_clean", "backdoor") == direction("retain", "samples") == "higher"


def test_d_f_is_compared_with_held_out_data_of_its_class_mix(make_bench: MakeBench) -> None:
    # class 1 held out: half right; class 0: all right; D_f is class 1 only, three of four right
    held_out = [(1.0, 1), (-1.0, 1), (-1.0, 0), (-2.0, 0)]
    forget, _ = accuracy(make_bench({"forget": [(1.0, 1)] * 3 + [(-1.0, 1)], "test": held_out}), AccuracyParams())
    assert forget.contrast is not None
    assert forget.contrast.value == forget.contrast.control == 0.25
    assert (forget.contrast.n, forget.contrast.least) == (4, decisive_from(0.5))


def test_what_gold_finds_easier_too_is_no_trace(make_bench: MakeBench) -> None:
    easy, hard = [(1.0, 1)] * 8, [(1.0, 1)] * 4 + [(-1.0, 1)] * 4
    forget, _ = accuracy(make_bench({"forget": easy, "test": hard}, golds=(1.0, 2.0)), AccuracyParams())
    assert forget.contrast is not None
    assert forget.contrast.value == 0.0
    without, _ = accuracy(make_bench({"forget": easy, "test": hard}), AccuracyParams())
    assert without.contrast is not None
    assert without.contrast.value == 0.5


def test_only_single_samples_are_contrasted_with_held_out_data(make_bench: MakeBench) -> None:
    for finding in accuracy(make_bench({"forget": FORGET, "test": TEST}, kind="class"), AccuracyParams()):
        assert finding.contrast is None


def test_class_weights_by_hand() -> None:
    weights = class_weights(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2]))
    assert weights.tolist() == [0.75, 0.125, 0.125, 0.0]
