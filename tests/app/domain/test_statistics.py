"""The arithmetic of claims, against published figures and by hand."""

from math import inf, sqrt

import pytest

from app.domain.statistics import (
    holm,
    interval,
    needed_for_detection,
    needed_for_equivalence,
    p_value,
    proportion_spread,
)


@pytest.mark.parametrize(("margin", "samples"), [(0.10, 85), (0.05, 341), (0.03, 946), (0.02, 2130)])
def test_equivalence_of_an_accuracy_of_0888_needs_the_published_numbers(margin: float, samples: int) -> None:
    spread = sqrt(0.888 * 0.112)
    assert needed_for_equivalence(spread, 0.0, margin, two_sided=True) == pytest.approx(samples, rel=0.012)


def test_an_error_that_samples_do_not_reduce_needs_more_of_them_or_no_number_will_do() -> None:
    assert needed_for_equivalence(0.3, 0.01, 0.05, two_sided=True) > needed_for_equivalence(
        0.3, 0.0, 0.05, two_sided=True
    )
    assert needed_for_equivalence(0.3, 0.02, 0.05, two_sided=True) == inf


def test_one_sided_claims_need_fewer() -> None:
    # (0.3 (1.645 + 0.842) / 0.05)² = 222.6
    assert needed_for_equivalence(0.3, 0.0, 0.05, two_sided=False) == 223


def test_a_trace_that_is_not_there_is_never_found() -> None:
    assert needed_for_detection(0.3, 0.0, 0.0, claims=1) == inf
    # (0.3 (1.645 + 1.645) / 0.1)² = 97.4
    assert needed_for_detection(0.3, 0.0, 0.1, claims=1) == 98
    assert needed_for_detection(0.3, 0.0, 0.1, claims=3) > 98


def test_a_p_value_is_a_half_at_the_bound_and_a_twentieth_at_1645_errors_beyond() -> None:
    assert p_value(0.02, 0.02, 0.01) == 0.5
    assert p_value(0.02 + 0.01645, 0.02, 0.01) == pytest.approx(0.05, abs=1e-4)


def test_holm_by_hand() -> None:
    # 0.01 ≤ 0.05/3, 0.02 ≤ 0.05/2, 0.06 > 0.05
    assert holm({"a": 0.02, "b": 0.06, "c": 0.01}) == {"a", "c"}
    # 0.02 > 0.05/3 stops everything behind it
    assert holm({"a": 0.02, "b": 0.02, "c": 0.02}) == frozenset()
    assert holm({}) == frozenset()


def test_ninety_per_cent_lie_within_1645_errors() -> None:
    assert interval(0.5, 0.1, level=0.9) == pytest.approx((0.33551, 0.66449), abs=1e-5)


def test_the_spread_of_a_share_is_never_zero() -> None:
    assert proportion_spread(1.0, 8) == pytest.approx(sqrt(0.9 * 0.1))
    assert proportion_spread(0.5, 8) == 0.5
