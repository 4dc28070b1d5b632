"""What never having seen D_f would show, and how surely."""

import numpy as np
import pytest

from worker.contrasts import binomial_spread, with_chance, with_golds, with_held_out
from worker.estimates import gap, roc_area, share

RANDOM = np.random.default_rng(0)


def test_guessing_is_a_half_with_mann_and_whitneys_error() -> None:
    after = roc_area(RANDOM.normal(size=40), RANDOM.normal(size=400))
    found = with_chance(after, after, against="guessing")
    assert found.value == after.value - 0.5
    assert found.spread / 40**0.5 == pytest.approx(((40 + 400 + 1) / (12 * 40 * 400)) ** 0.5)
    assert (found.n, found.floor) == (40, 0.0)


def test_held_out_data_set_the_expectation_and_the_floor() -> None:
    weights = np.full(100, 1 / 100)
    held_out = np.repeat([1.0, 0.0], [80, 20])
    found = with_held_out(
        gap(np.ones(25), held_out, weights), gap(np.ones(25), held_out, weights), held_out=0.8, against="", least=14
    )
    assert found.value == pytest.approx(0.2)
    assert found.spread == pytest.approx((81 / 102 * 21 / 102) ** 0.5)
    assert found.floor == pytest.approx((0.16 / 100 * 100 / 99 + 1e-4) ** 0.5)


def test_agreement_of_a_few_samples_with_gold_proves_nothing() -> None:
    one = share(np.ones(20))
    found = with_golds(one, one, [one], against="", expected_spread=0.3)
    assert found.value == 0
    assert found.spread == 0.3
    assert found.error == 1 / 20


def test_a_spread_between_golds_is_a_floor() -> None:
    golds = [share((RANDOM.random(5000) < p).astype(float)) for p in (0.7, 0.8, 0.9)]
    found = with_golds(golds[1], golds[1], golds, against="")
    assert found.floor == pytest.approx(0.1 * (1 + 1 / 3) ** 0.5, rel=0.2)


def test_the_spread_of_a_held_out_share_is_never_zero() -> None:
    assert binomial_spread(1.0, 8) == pytest.approx(0.3)


def test_held_out_samples_that_are_drawn_along_are_no_floor() -> None:
    after, gold = (roc_area(RANDOM.normal(size=30), RANDOM.normal(size=30)) for _ in range(2))
    fixed, drawn = (with_golds(after, after, [gold], against="", drawn=drawn) for drawn in (False, True))
    assert fixed.floor > drawn.floor == 0.0
    assert fixed.spread**2 / 30 + fixed.floor**2 == pytest.approx(drawn.spread**2 / 30)
    assert fixed.error == drawn.error
