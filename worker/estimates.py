"""Numbers with the share that every sample has in them, so that two of the same samples can be subtracted.

A proportion, an area under a ROC curve and a difference of proportions are all means over samples, to first order: each
sample has an *influence* ψ, Σ ψ = 0 over a side, and

    Var = Σ_sides  n/(n−1) Σᵢ ψᵢ²

The influences of a difference are the differences of the influences where both numbers were measured on the same
samples: what makes a sample hard for every model cancels (DeLong et al. 1988 for areas, McNemar for proportions).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

from worker.intervals import Scores, area


@dataclass(frozen=True)
class Estimate:
    """A number measured on one or two sides."""

    value: float
    influences: tuple[Scores, ...]
    """One array a side; forgotten samples first."""
    grain: tuple[float, ...]
    """By how much one sample more could move it, a side: the error where all samples happen to agree."""

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference of two numbers on the same samples."""
        pairs = zip(self.influences, other.influences, strict=True)
        return Estimate(self.value - other.value, tuple(a - b for a, b in pairs), self.grain)

    def variances(self) -> tuple[float, ...]:
        """The share of each side in the variance."""
        return tuple(
            float((psi**2).sum()) * len(psi) / max(len(psi) - 1, 1) + grain**2
            for psi, grain in zip(self.influences, self.grain, strict=True)
        )

    @property
    def error(self) -> float:
        """Standard error."""
        return sqrt(sum(self.variances()))


def share(right: Scores) -> Estimate:
    """The proportion of ones in `(n,)`; the grain 1/n keeps its error above 0 where all are right."""
    n = len(right)
    return Estimate(float(right.mean()), ((right - right.mean()) / n,), (1 / n,))


def gap(right: Scores, elsewhere: Scores, weights: Scores) -> Estimate:
    """How much larger the proportion is than the weighted proportion elsewhere.

        1/n Σ rᵢ − Σ wⱼ r′ⱼ

    Args:
        right: r, `(n,)` of ones and zeros.
        elsewhere: r′, `(m,)` likewise.
        weights: w ≥ 0, `(m,)`, Σ w = 1.
    """
    here, there = share(right), float((weights * elsewhere).sum())
    influence = -weights * (elsewhere - there)
    return Estimate(here.value - there, (*here.influences, influence), (*here.grain, float(weights.max())))


def roc_area(positives: Scores, negatives: Scores) -> Estimate:
    """The area under the ROC curve, with DeLong's structural components as influences.

    The grain is 0, except where the scores separate perfectly or all tie and the components say nothing: then it is
    1/m and 1/n.

    Args:
        positives: scores `(m,)`.
        negatives: scores `(n,)`.
    """
    m, n = len(positives), len(negatives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    v10 = (ranks[:m] - rankdata(positives)) / n
    v01 = 1 - (ranks[m:] - rankdata(negatives)) / m
    value = area(positives, negatives)
    influences = (v10 - value) / m, (v01 - value) / n
    flat = not any(psi.any() for psi in influences)
    return Estimate(value, influences, (1 / m, 1 / n) if flat else (0.0, 0.0))


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of numbers on the same samples."""
    sides = zip(*(e.influences for e in estimates), strict=True)
    influences = tuple(np.mean(side, axis=0) for side in sides)
    return Estimate(float(np.mean([e.value for e in estimates])), influences, estimates[0].grain)


@dataclass(frozen=True)
class Distance:
    """How far a number lies from that of retrained models."""

    value: float
    error: float
    """Standard error: of the samples, and of the choice of these gold models among all that might have been trained."""
    interval: tuple[float, float]
    """95 %; for a single gold model of the samples alone, since one says nothing of the spread."""


def distance(after: Estimate, golds: Sequence[Estimate]) -> Distance:
    """The difference to the mean of k gold models, measured on the same samples.

        Var = Var_samples(after − mean gold) + s²/k,   s² = max(0, Var_golds − what sampling explains of it)

    The quantile is Student's, with Welch and Satterthwaite's degrees of freedom.

    Args:
        after: the model that is audited.
        golds: at least one.
    """
    difference = after - mean_of(golds)
    sampling, between = difference.error**2, excess(golds) / len(golds)
    variance = sampling + between
    if variance == 0:  # every sample has the same share in both numbers: nothing varies
        return Distance(difference.value, 0.0, (difference.value, difference.value))
    n, k = sum(len(psi) for psi in difference.influences), len(golds)
    freedom = variance**2 / (sampling**2 / max(n - 1, 1) + (between**2 / (k - 1) if k > 1 else 0.0))
    half = float(student.ppf(0.975, freedom)) * sqrt(variance)
    return Distance(difference.value, sqrt(variance), (difference.value - half, difference.value + half))


def excess(golds: Sequence[Estimate]) -> float:
    """The variance between gold models beyond what their samples explain; 0 for a single one."""
    if len(golds) < 2:
        return 0.0
    centre = mean_of(golds)
    explained = np.mean([sum(v - g**2 for v, g in zip((e - centre).variances(), e.grain, strict=True)) for e in golds])
    observed = np.var([e.value for e in golds], ddof=1)
    return max(0.0, float(observed - explained * len(golds) / (len(golds) - 1)))
