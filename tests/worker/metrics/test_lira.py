"""Metric `lira`: the formulas by hand, and that a model which saw D_f stands out."""

from collections.abc import Callable
from math import erf, exp, log, pi, sqrt

import numpy as np
import pytest

from app.metrics.lira import LiraParams
from worker.attacks import logit
from worker.metrics.lira import common_deviation, lira, offline, online
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]
ROWS = [(x / 10, 1) for x in range(-20, 20)]


def test_the_logit_of_a_confidence_by_hand() -> None:
    p = np.array([0.5, 0.9, 0.001])
    assert logit(-np.log(p)) == pytest.approx([0.0, log(9), log(0.001 / 0.999)], abs=1e-9)
    assert np.isfinite(logit(np.array([0.0, 400.0]))).all()


def test_the_offline_score_by_hand() -> None:
    def normal_cdf(z: float) -> float:
        return (1 + erf(z / sqrt(2))) / 2

    # two samples, shadow models' mean 1 and 3, deviation 2
    found = offline(np.array([2.0, 0.5]), np.array([1.0, 3.0]), 2.0)
    assert found == pytest.approx([normal_cdf(0.5), normal_cdf(-1.25)], abs=1e-12)


def test_the_online_score_by_hand() -> None:
    def density(x: float, mean: float, deviation: float) -> float:
        return exp(-((x - mean) ** 2) / (2 * deviation**2)) / (deviation * sqrt(2 * pi))

    found = online(np.array([2.0]), np.array([3.0]), 0.5, np.array([1.0]), 2.0)
    assert found == pytest.approx([log(density(2, 3, 0.5) / density(2, 1, 2))], abs=1e-12)


def test_one_deviation_serves_all_samples() -> None:
    # variances 2 and 8 between two models: √5
    assert common_deviation(np.array([[0.0, 0.0], [2.0, 4.0]])) == pytest.approx(sqrt(5))
    assert common_deviation(np.array([[1.0, 2.0]])) == 1.0
    assert common_deviation(np.array([[1.0, 2.0], [1.0, 2.0]])) == 1.0


def test_a_model_that_is_surer_of_d_f_than_all_references_is_found(make_bench: MakeBench) -> None:
    right, wrong = [(x / 10, 1) for x in range(1, 41)], [(-x / 10, 1) for x in range(1, 41)]
    area, one, tenth = lira(make_bench({"forget": right, "test": wrong}, after=0.5, golds=(0.5, 0.5)), LiraParams())
    assert (area.measure, one.measure, tenth.measure) == (
        "lira_auc",
        "lira_tpr_at_1_percent",
        "lira_tpr_at_01_percent",
    )
    assert (area.before, area.after, area.no_op) == (1.0, 0.5, 1.0)
    assert area.gold == (0.5, 0.5)
    assert one.before == 1.0
    assert one.after == 0.0
    assert "cannot show" in tenth.caveats[0]
    assert (one.n, area.n) == (40, 80)


def test_without_references_there_is_no_finding(make_bench: MakeBench) -> None:
    assert lira(make_bench({"forget": ROWS, "test": ROWS}), LiraParams()) == []
