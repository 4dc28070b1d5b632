"""Metric `accuracy`, by hand."""

from collections.abc import Callable

import pytest

from app.metrics.accuracy import AccuracyParams
from worker.metrics.accuracy import accuracy, decisive_from, direction
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
