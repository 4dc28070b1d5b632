"""Metric `tow`: how close to a retrained model, on all sets at once?"""

from itertools import permutations
from math import prod

from app.metrics.tow import TowParams
from worker.numerics.answers import answers
from worker.numerics.outcome import Bench, Finding, Model

SETS = ("forget", "retain", "test")


def tow(bench: Bench, params: TowParams) -> list[Finding]:
    """The tug of war, averaged over the gold models.

        ToW = ∏ (1 − |acc(θ) − acc(θ_gold)|)     over D_f, D_r and held-out data

    `gold` is the ceiling: each gold model judged by another. It has no interval of its own, since errors of the three
    accuracies do not add up to one of their product's absolute values: the interval is the value. Without gold or one
    of the sets no finding.

    Source: Zhao et al. 2024, eq. 1.
    """
    if not bench.golds or not bench.sets.keys() >= set(SETS):
        return []

    def accuracies(model: Model) -> list[float]:
        return [float(answers(bench, model, name).right.double().mean()) for name in SETS]

    before, after, *golds = (accuracies(model) for model in (bench.before, bench.after, *bench.golds))
    untouched, value = (sum(closeness(own, gold) for gold in golds) / len(golds) for own in (before, after))
    return [
        Finding(
            metric=params.name,
            measure="tow",
            on="forget, retain, test",
            direction="higher",
            n=sum(len(bench.sets[name]) for name in SETS),
            before=untouched,
            after=value,
            no_op=untouched,
            gold=tuple(closeness(a, b) for a, b in permutations(golds, 2)),
            interval=(value, value),
        )
    ]


def closeness(own: list[float], gold: list[float]) -> float:
    """The product ∏ (1 − |a − b|) of accuracies in [0, 1]."""
    return prod(1 - abs(a - b) for a, b in zip(own, gold, strict=True))
