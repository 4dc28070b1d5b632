"""Intervals against values that can be checked by hand or in the literature."""

import numpy as np
import pytest

from worker.intervals import area, delong, wilson


def test_wilson_agrees_with_the_textbook() -> None:
    # 10 of 20: centre 0.5 by symmetry, half-width z √(.25/20 + z²/1600) / (1 + z²/20)
    assert wilson(0.5, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)


def test_wilson_is_not_empty_at_the_ends() -> None:
    low, high = wilson(1.0, 10)
    assert low == pytest.approx(10 / (10 + 1.959964**2))
    assert high == 1.0
    assert wilson(0.0, 10)[0] == 0.0


def test_area_counts_pairs_and_halves_ties() -> None:
    # pairs (2,1) won, (2,2) tied, (3,1) won, (3,2) won: 3.5 of 4
    assert area(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 3.5 / 4


def test_area_of_separated_scores_is_one_and_its_interval_is_not_a_point() -> None:
    high, low = np.array([5.0, 6.0, 7.0]), np.array([1.0, 2.0, 3.0])
    assert area(high, low) == 1.0
    assert area(low, high) == 0.0
    bottom, top = delong(high, low)
    assert bottom < 0.6
    assert top == 1.0


def test_delong_variance_by_hand() -> None:
    # V10 = (1/2, 1, 1) with variance 1/12; V01 = (1, 2/3) with variance 1/18: Var A = 1/36 + 1/36
    positives, negatives = np.array([2.0, 4.0, 5.0]), np.array([1.0, 3.0])
    low, high = delong(positives, negatives, level=0.6826894921)
    assert area(positives, negatives) == pytest.approx(5 / 6)
    assert low == pytest.approx(5 / 6 - (1 / 18) ** 0.5)
    assert high == 1.0


def test_delong_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = delong(random.normal(size=60), random.normal(size=60))
        covered += low <= 0.5 <= high
    assert 0.9 <= covered / 300 <= 0.99
