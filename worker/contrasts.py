"""Comparing a model with what it would show if it had never seen D_f: with gold models, or with held-out data."""

from collections.abc import Sequence
from math import sqrt

from worker.estimates import Estimate, excess, mean_of
from worker.numerics.outcome import Contrast


def with_golds(
    after: Estimate,
    before: Estimate,
    golds: Sequence[Estimate],
    *,
    against: str,
    expected_spread: float = 0.0,
    drawn: bool = False,
    least: int = 0,
) -> Contrast:
    """How far the model lies beyond the gold models on the same samples.

    The audited model is, if it never saw D_f, one more draw from what gold models are: their spread counts 1 + 1/k
    times.

    Args:
        after: of the audited model; forgotten samples on the first side.
        before: of the model to which nothing was done.
        golds: k ≥ 1.
        against: what the golds are, in words.
        expected_spread: of a single sample, where it can be told beforehand: few samples may happen to agree.
        drawn: held-out samples are drawn in proportion to the forgotten ones: more of these bring more of those.
        least: see `Contrast`.
    """
    centre = mean_of(golds)
    difference = after - centre
    forgotten, *others = difference.variances()
    n, between = len(difference.influences[0]), excess(golds) * (1 + 1 / len(golds))
    shrinks, stays = (forgotten + sum(others), 0.0) if drawn else (forgotten, sum(others))
    return Contrast(
        against=against,
        value=difference.value,
        error=sqrt(shrinks + stays + between),
        control=(before - centre).value,
        n=n,
        spread=max(sqrt(shrinks * n), expected_spread),
        floor=sqrt(stays + between),
        least=least,
    )


def with_chance(after: Estimate, before: Estimate, *, against: str) -> Contrast:
    """How far an area under a ROC curve lies above ½, what guessing reaches.

        Var = (m + n + 1) / (12 m n)     if the two sides have the same distribution (Mann and Whitney 1947)

    Held-out samples are drawn in proportion to the forgotten ones, so that more of these bring more of those.

    Args:
        after: area of the audited model.
        before: area of the model to which nothing was done.
        against: what a model that never saw D_f is like, in words.
    """
    n, m = (len(psi) for psi in after.influences)
    return Contrast(
        against=against,
        value=after.value - 0.5,
        error=after.error,
        control=before.value - 0.5,
        n=n,
        spread=sqrt((m + n + 1) / (12 * m)),
        floor=0.0,
    )


def with_held_out(after: Estimate, before: Estimate, *, held_out: float, against: str, least: int) -> Contrast:
    """How much more often the model is right about D_f than about held-out data of the same class mix.

    Args:
        after: `worker.estimates.gap` of the audited model.
        before: of the model to which nothing was done.
        held_out: p, the proportion on held-out data; a model that never saw D_f has it on D_f too.
        against: the held-out data, in words.
        least: see `Contrast`.
    """
    n, m = (len(psi) for psi in after.influences)
    return Contrast(
        against=against,
        value=after.value,
        error=after.error,
        control=before.value,
        n=n,
        spread=binomial_spread(held_out, m),
        floor=sqrt(after.variances()[1]),
        least=least,
    )


def binomial_spread(share: float, m: int) -> float:
    """√(p(1−p)) of a proportion measured on m samples, drawn towards ½ so that it is never 0: one more of each kind."""
    p = (share * m + 1) / (m + 2)
    return sqrt(p * (1 - p))
