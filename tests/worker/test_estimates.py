"""Numbers with influences: their errors are the textbook's, and those of differences know what is shared."""

import numpy as np
import pytest

from worker.estimates import distance, excess, gap, mean_of, roc_area, share
from worker.intervals import Scores, delong


def bits(*values: int) -> Scores:
    return np.array(values, dtype=float)


def test_the_error_of_a_share_by_hand() -> None:
    # .75·.25/4 · 4/3 + (1/4)² = .0625 + .0625
    assert share(bits(1, 1, 1, 0)).error == pytest.approx(0.125**0.5)


def test_where_all_are_right_the_error_is_one_sample() -> None:
    assert share(np.ones(50)).error == 1 / 50


def test_what_is_hard_for_both_models_cancels() -> None:
    hard = np.random.default_rng(0).integers(0, 2, 1000).astype(float)
    one, other = share(hard), share(np.where(np.arange(1000) == 0, 1 - hard, hard))
    assert abs((one - other).value) == pytest.approx(1 / 1000)
    assert (one - other).error < one.error / 8


def test_an_area_has_delongs_error() -> None:
    random = np.random.default_rng(0)
    positives, negatives = random.normal(0.5, size=60), random.normal(size=90)
    low, high = delong(positives, negatives)
    found = roc_area(positives, negatives)
    assert found.error == pytest.approx((high - low) / 2 / 1.959964)
    assert roc_area(np.array([2.0, 3.0]), np.array([0.0, 1.0])).error == pytest.approx((1 / 4 + 1 / 4) ** 0.5)


def test_a_gap_weighs_the_held_out_classes_as_d_f_does() -> None:
    # held out: class 0 right, class 1 wrong; D_f is three quarters class 0
    found = gap(bits(1, 1, 1, 1), bits(1, 0, 0), np.array([0.75, 0.125, 0.125]))
    assert found.value == 0.25
    assert len(found.influences[1]) == 3


def test_the_distance_to_golds_by_hand() -> None:
    found = distance(share(bits(1, 1, 1, 0)), [share(bits(1, 1, 0, 0)), share(bits(1, 0, 1, 0))])
    assert found.value == 0.25
    assert found.interval[0] < 0 < found.interval[1]


def test_a_single_gold_says_nothing_of_the_spread_and_equal_ones_have_none() -> None:
    one = share(bits(1, 1, 0, 0))
    assert excess([one]) == 0.0
    assert excess([one, one, one]) == 0.0


def test_gold_models_of_unequal_luck_widen_the_interval() -> None:
    random = np.random.default_rng(1)
    even = [share((random.random(4000) < 0.8).astype(float)) for _ in range(4)]
    uneven = [share((random.random(4000) < p).astype(float)) for p in (0.7, 0.75, 0.85, 0.9)]
    after = share((random.random(4000) < 0.8).astype(float))
    assert excess(uneven) == pytest.approx(np.var([0.7, 0.75, 0.85, 0.9], ddof=1), rel=0.4)
    assert distance(after, uneven).error > 3 * distance(after, even).error


def test_the_mean_of_estimates_is_one_on_the_same_samples() -> None:
    both = mean_of([share(bits(1, 0)), share(bits(0, 1))])
    assert both.value == 0.5
    assert both.influences[0].tolist() == [0.0, 0.0]


def test_the_interval_of_the_distance_covers_the_truth() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        ease = random.normal(size=200)

        def model(height: float, ease: Scores = ease) -> Scores:
            return (height + ease + random.normal(scale=0.5, size=200) > 0).astype(float)

        low, high = distance(share(model(1.0)), [share(model(1.0)) for _ in range(3)]).interval
        covered += low <= 0 <= high
    assert 0.92 <= covered / 300 <= 0.995
