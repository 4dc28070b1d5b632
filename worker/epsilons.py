"""The ε of the NeurIPS 2023 challenge: how well the confidence in one sample tells two kinds of models apart."""

from functools import cache
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from worker.intervals import Scores

DELTA = 1e-5  # δ
CAP = 50.0  # of ε: nothing tells more
BIN = 0.5  # width in ε
PEAKED = 0.01  # ratio of ranges below which the narrower distribution is a point
REACH = 2.0  # how far the double threshold's ends may lie from those of the narrower distribution
DRAWS = 100

Table = NDArray[np.float64]
Counts = NDArray[np.int64]


def epsilon(one: Scores, other: Scores) -> float:
    """ε of one sample, in nats: the best of all thresholds, see `table`.

    A single threshold takes what lies above it for the kind with the larger median. A double threshold takes what lies
    between for the kind with the smaller range; its ends lie no further than 2 from that kind's smallest and largest
    value. Where one range is below 1 % of the other, that kind is a point, and ε the cap.

    Args:
        one: φ of the sample under the N models of one kind, `(N,)`.
        other: under as many of the other, `(N,)`.

    Returns:
        ε in [0, 50].

    Source: Triantafillou et al. 2024; thresholds and points as in the organisers' code
    (github.com/google-deepmind/unlearning_evaluation), with all thresholds that differ instead of a grid of them.
    """
    narrow, wide = sorted((float(np.ptp(one)), float(np.ptp(other))))
    if wide == 0:
        return 0.0 if one[0] == other[0] else CAP
    if narrow / wide < PEAKED:
        return CAP
    above, below = (one, other) if np.median(one) >= np.median(other) else (other, one)
    inner, outer = (above, below) if np.ptp(above) < np.ptp(below) else (below, above)
    values, rates = np.unique(np.concatenate([one, other])), table(len(one))
    return max(_single(above, below, values, rates), _double(inner, outer, values, rates))


@cache
def table(models: int) -> Table:
    """What a threshold says of ε, by how many models of N it takes for the wrong kind.

        ε = max(0, ln (1 − δ − FPR) − ln FNR, ln (1 − δ − FNR) − ln FPR)

    The cap where both rates are 0; −∞, no word, where just one is: there are too few models to know it.

    Args:
        models: N.

    Returns:
        `(N + 1, N + 1)`, by false positives and false negatives.

    Source: Triantafillou et al. 2024; δ and the cap as in the organisers' code.
    """
    rate = np.arange(models + 1) / models
    positive, negative = rate[:, None], rate[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.log(1 - DELTA - positive) - np.log(negative)
        second = np.log(1 - DELTA - negative) - np.log(positive)
    found = np.fmax(np.fmax(first, second), 0.0)
    found[0, :] = found[:, 0] = -np.inf
    found[0, 0] = CAP
    return np.asarray(found)


def points(epsilons: Scores, models: int) -> Scores:
    """H(ε) = 2^−⌊ε / ½⌋: halved with every ½; 0 from ⌈ln(N − 1)⌉, which N models cannot show. Same shape."""
    place = np.floor(epsilons / BIN)
    return np.where(place * BIN < ceil(log(models - 1)), 2.0**-place, 0.0)


@cache
def ceiling(models: int) -> float:
    """The mean of H where there is nothing to tell: over pairs of N draws each from one normal distribution."""
    draws = np.random.default_rng(models).normal(size=(DRAWS, 2, models))
    return float(points(np.array([epsilon(one, other) for one, other in draws]), models).mean())


def _single(above: Scores, below: Scores, values: Scores, rates: Table) -> float:
    return float(rates[len(below) - _smaller(below, values), _smaller(above, values)].max())


def _double(inner: Scores, outer: Scores, values: Scores, rates: Table) -> float:
    """The best [l, r] with r within 2 of the largest inner value and l within 2 of r − (the inner range).

    Ends between the same two neighbouring values decide alike, so one of them stands for all.
    """
    width, top = np.ptp(inner), inner.max()
    previous, following = np.append(-np.inf, values[:-1]), np.append(values[1:], np.inf)
    # l lies in (previous, value i], r in [value j, following)
    least = np.maximum(np.maximum(values, top - REACH)[None, :], previous[:, None] + width - REACH)
    most = np.minimum(np.minimum(following, top + REACH)[None, :], values[:, None] + width + REACH)
    i, j = np.nonzero(np.triu(least < most))

    def inside(side: Scores) -> Counts:
        return np.searchsorted(np.sort(side), values, side="right")[j] - _smaller(side, values)[i]

    return float(rates[inside(outer), len(inner) - inside(inner)].max())


def _smaller(side: Scores, values: Scores) -> Counts:
    return np.searchsorted(np.sort(side), values, side="left")
