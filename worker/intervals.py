"""95 % intervals of measured proportions and areas."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

Scores = NDArray[np.float64]


def wilson(share: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: sensible at 0, at 1 and for small n.

        (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    Args:
        share: p, in [0, 1].
        n: samples it rests on, at least 1.
        level: its coverage; z is the normal quantile at (1 + level)/2.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.
    """
    z = float(norm.ppf((1 + level) / 2))
    centre = share + z**2 / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return low if share > 0 else 0.0, high if share < 1 else 1.0


def area(positives: Scores, negatives: Scores) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counted half.

        A = (Σ ranks of the positives − m(m+1)/2) / mn

    Args:
        positives: scores `(m,)`.
        negatives: scores `(n,)`.
    """
    m, n = len(positives), len(negatives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def delong(positives: Scores, negatives: Scores, *, level: float = 0.95) -> tuple[float, float]:
    """DeLong's interval of the area under the ROC curve.

        Var A = Var V₁₀ / m + Var V₀₁ / n
        V₁₀ᵢ: share of negatives below positive i;   V₀₁ⱼ: share of positives above negative j

    Where the scores separate perfectly, or all tie, Var A is 0 and says nothing: Wilson's interval of A with the
    smaller count takes its place.

    Args:
        positives: scores `(m,)`.
        negatives: scores `(n,)`.
        level: its coverage.

    Source: DeLong, DeLong & Clarke-Pearson, Comparing the Areas under Two or More Correlated ROC Curves, 1988; the
    ranks after Sun & Xu, 2014.
    """
    m, n = len(positives), len(negatives)
    centre = area(positives, negatives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    v10 = (ranks[:m] - rankdata(positives)) / n
    v01 = 1 - (ranks[m:] - rankdata(negatives)) / m
    variance = _variance(v10) / m + _variance(v01) / n
    if variance == 0:
        return wilson(centre, min(m, n), level=level)
    half = float(norm.ppf((1 + level) / 2)) * sqrt(variance)
    return max(0.0, centre - half), min(1.0, centre + half)


def _variance(values: Scores) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0
