"""The challenge's ε, by hand and against the slow obvious search."""

from math import inf, log

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.epsilons import CAP, DELTA, ceiling, epsilon, points, table

Values = NDArray[np.float64]


def test_what_a_threshold_says_by_hand() -> None:
    rates = table(8)
    assert rates[2, 1] == pytest.approx(log(0.75 - 1e-5) - log(0.125), abs=1e-12)  # FPR 2/8, FNR 1/8
    assert rates[2, 1] == pytest.approx(1.791746136, abs=1e-6)
    assert rates[1, 2] == pytest.approx(rates[2, 1], abs=1e-12)
    assert rates[4, 4] == 0.0  # guessing: ln (½ − δ) / ½ is below 0
    assert rates[8, 3] == 0.0
    assert rates[0, 0] == CAP
    assert (rates[0, 1:] == -inf).all()
    assert (rates[1:, 0] == -inf).all()


def test_a_single_threshold_by_hand() -> None:
    retrained = np.arange(8.0)
    unlearned = retrained + 4.5  # from 5.5 on: two retrained ones above (6, 7), one unlearned one below (4.5)
    for order in (unlearned, unlearned[::-1]):
        assert epsilon(order, retrained) == pytest.approx(1.791746136, abs=1e-6)
        assert epsilon(retrained, order) == pytest.approx(1.791746136, abs=1e-6)


def test_a_double_threshold_by_hand() -> None:
    retrained = np.array([-7.0, -5.0, -3.0, -0.05, 3.0, 5.0, 7.0, 9.0])
    unlearned = np.array([-2.0, -0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7])
    # within [−.5, .7] is one retrained model, outside one unlearned one: ln (7/8 − δ) / (1/8); one threshold finds ln 4
    assert epsilon(unlearned, retrained) == pytest.approx(log(0.875 - 1e-5) - log(0.125), abs=1e-12)


def test_what_does_not_overlap_has_the_largest_epsilon_and_so_has_a_point() -> None:
    spread = np.arange(8.0)
    assert epsilon(spread, spread + 20) == CAP
    assert epsilon(spread, spread + 7) == pytest.approx(log(7), abs=1e-4)  # touching is enough: [1, 7] errs once each
    assert epsilon(np.full(8, 3.5), spread) == CAP
    assert epsilon(2.9965 + spread / 1000, spread) == CAP  # although the other kind has a value amid them
    assert epsilon(np.zeros(8), np.ones(8)) == CAP
    assert epsilon(np.ones(8), np.ones(8)) == 0.0


def test_it_is_that_of_a_slow_search_over_a_grid_of_thresholds() -> None:
    generator = np.random.default_rng(3)
    for n in (8, 11, 16):
        for scale, shift in ((0.4, 0.0), (1.0, 1.0), (3.0, 0.5)):
            draws = generator.normal(size=(2, n)) * [[1.0], [scale]] + [[0.0], [shift]]
            one, other = np.round(8 * draws) / 8  # the grid below passes between any two of them
            assert epsilon(one, other) == pytest.approx(slow(one, other), abs=1e-6), (n, scale)


def slow(one: Values, other: Values) -> float:
    above, below = (one, other) if np.median(one) >= np.median(other) else (other, one)
    inner, outer = (above, below) if np.ptp(above) < np.ptp(below) else (below, above)
    found = [told((below >= t).mean(), (above < t).mean()) for t in np.concatenate([one, other])]
    width = np.ptp(inner)
    for r in inner.max() + np.arange(-2 + 1 / 32, 2, 1 / 16):
        for low in r - width + np.arange(-2 + 1 / 16, 2, 1 / 16):
            within = [((side >= low) & (side <= r)).mean() for side in (outer, inner)]
            found.append(told(within[0], 1 - within[1]))
    return min(max(found), CAP)


def told(false_positive: float, false_negative: float) -> float:
    one, other = round(false_positive, 9), round(false_negative, 9)
    if one == 0 or other == 0:
        return CAP if one == other else -inf
    ratios = [(1 - DELTA - a) / b for a, b in ((one, other), (other, one))]
    return log(max(1.0, *ratios))


def test_every_half_of_epsilon_halves_the_points_and_what_few_models_cannot_show_has_none() -> None:
    epsilons = np.array([0.0, 0.499999, 0.5, 0.999999, 1.0, 2.999999, 3.0, CAP])
    assert points(epsilons, 16).tolist() == [1, 1, 0.5, 0.5, 0.25, 2**-5, 0, 0]  # ⌈ln 15⌉ = 3
    assert points(epsilons, 512).tolist() == [1, 1, 0.5, 0.5, 0.25, 2**-5, 2**-6, 0]  # ⌈ln 511⌉ = 7


@pytest.mark.parametrize("models", [8, 16, 64])
def test_where_there_is_nothing_to_tell_few_points_are_lost_by_chance_alone(models: int) -> None:
    assert 0.1 < ceiling(models) < 0.3
