"""Metric `rmia`: the formulas by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from app.metrics.rmia import RmiaParams
from worker.metrics.rmia import beaten, ratio, rmia
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]


def test_the_ratio_by_hand() -> None:
    # mean outside .5 and .3; prior (1.3·.5 + .7)/2 = .675 and (1.3·.3 + .7)/2 = .545
    found = ratio(np.array([0.9, 0.2]), np.array([[0.4, 0.1], [0.6, 0.5]]), 0.3)
    assert found == pytest.approx([0.9 / 0.675, 0.2 / 0.545], abs=1e-12)


def test_a_scale_of_one_needs_no_guess() -> None:
    assert ratio(np.array([0.6]), np.array([[0.3]]), 1.0) == pytest.approx([2.0])


def test_the_share_of_the_population_that_is_beaten_by_hand() -> None:
    population = np.array([0.5, 1.0, 2.0, 4.0])
    assert beaten(np.array([1.0, 0.4, 9.0]), population, 1.0).tolist() == [0.5, 0.0, 1.0]
    assert beaten(np.array([4.0]), population, 2.0).tolist() == [0.75]  # 4/.5, 4/1, 4/2 are at least 2


def test_a_model_that_gained_on_d_f_is_found(make_bench: MakeBench) -> None:
    right, wrong = [(x / 10, 1) for x in range(1, 41)], [(-x / 10, 1) for x in range(1, 41)]
    (found,) = rmia(make_bench({"forget": right, "test": wrong}, after=0.0, golds=(0.5, 0.5)), RmiaParams())
    # the population are the held-out samples, and the best of them beats it all, as every forgotten one does: 40 ties
    assert found.before == 1 - 40 / 2 / 1600
    assert found.after == 0.0
    assert found.measure == "rmia_auc"
    assert rmia(make_bench({"forget": right, "test": wrong}), RmiaParams()) == []
