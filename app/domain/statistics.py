"""The arithmetic of claims: one-sided tests, Holm's correction, and how many samples a claim needs."""

from collections.abc import Hashable, Mapping
from math import ceil, inf, sqrt
from statistics import NormalDist
from typing import TypeVar

LEVEL = 0.05
"""How often a claim of any kind may be made wrongly."""
POWER = 0.80
"""How often equivalence shall be shown where there is no difference."""
DETECTION = 0.95
"""How often a model to which nothing was done shall be found."""

_NORMAL = NormalDist()
K = TypeVar("K", bound=Hashable)


def quantile(p: float) -> float:
    """The number z with Φ(z) = p, for p in (0, 1)."""
    return _NORMAL.inv_cdf(p)


def p_value(value: float, bound: float, error: float) -> float:
    """How often a number whose truth is at the bound comes out this large or larger.

        1 − Φ((value − bound) / error)

    Args:
        value: what was measured.
        bound: the largest truth that is still harmless.
        error: standard error of the value if the truth is at the bound, > 0.
    """
    return _NORMAL.cdf((bound - value) / error)


def holm(p_values: Mapping[K, float], *, level: float = LEVEL) -> frozenset[K]:
    """Which of several claims may be made so that not even one of them is wrong more often than the level.

    In order of their p-values, the i-th of m (from 0) may be made if p ≤ level / (m − i) and all before it may.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    made: list[K] = []
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - i):
            break
        made.append(name)
    return frozenset(made)


def interval(value: float, error: float, *, level: float) -> tuple[float, float]:
    """The value ± z error, with z the normal quantile at (1 + level)/2."""
    half = quantile((1 + level) / 2) * error
    return value - half, value + half


def needed_for_equivalence(spread: float, floor: float, margin: float, *, two_sided: bool) -> float:
    """The samples from which "no further than the margin" is shown with 80 % power where the truth is 0.

        n = spread² / ((margin / (z₀.₉₅ + z_π))² − floor²),   π = 0.90 for two one-sided tests (TOST), 0.80 for one

    Args:
        spread: standard error of a single sample.
        floor: the part of the error that more samples do not reduce.
        margin: > 0.
        two_sided: whether both sides must be excluded.

    Returns:
        A whole number, or ∞ where the floor alone is too much.

    Source: Schuirmann, A Comparison of the Two One-Sided Tests Procedure and the Power Approach, 1987.
    """
    return _samples(spread, floor, margin / (quantile(1 - LEVEL) + quantile((1 + POWER) / 2 if two_sided else POWER)))


def needed_for_detection(spread: float, floor: float, beyond: float, *, claims: int) -> float:
    """The samples from which a trace that lies this far beyond the bound is found with 95 % power.

        n = spread² / ((beyond / (z_(1−0.05/m) + z₀.₉₅))² − floor²)

    Args:
        spread: standard error of a single sample.
        floor: the part of the error that more samples do not reduce.
        beyond: how far; not above 0: never.
        claims: m, how many are tested together.

    Returns:
        A whole number, or ∞.
    """
    if beyond <= 0:
        return inf
    return _samples(spread, floor, beyond / (quantile(1 - LEVEL / claims) + quantile(DETECTION)))


def proportion_spread(share: float, n: int) -> float:
    """√(p(1−p)) with p drawn towards ½ by one success and one failure, so that it is never 0.

    Source: Agresti & Caffo, Simple and Effective Confidence Intervals for Proportions, 2000.
    """
    p = (share * n + 1) / (n + 2)
    return sqrt(p * (1 - p))


def _samples(spread: float, floor: float, error: float) -> float:
    """The n with √(spread²/n + floor²) = error."""
    rest = error**2 - floor**2
    return inf if rest <= 0 else max(1, ceil(spread**2 / rest))
