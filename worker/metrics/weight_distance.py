"""Metric `weight_distance`: how far are the weights from those of retrained models?"""

from itertools import combinations
from statistics import mean

from app.metrics.weight_distance import WeightDistanceParams
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.weights import apart


def weight_distance(bench: Bench, params: WeightDistanceParams) -> list[Finding]:
    """The verification error ‖θ − θ_gold‖₂ over all parameters, averaged over the gold models.

    `gold` is the floor: how far gold models of different seeds lie apart. A value at the floor says little, since
    networks that answer alike can lie far apart; one well below it says that the model shares its beginnings with gold.
    Nothing is sampled: the interval is the value. Buffers (BatchNorm's statistics) are left out. Without gold no
    finding.

    Source: Thudi et al. 2022, §4.
    """
    if not bench.golds:
        return []
    names = [name for name, _ in bench.before.build(0).named_parameters()]

    def to_golds(model: Model) -> float:
        return mean(apart(model.weights, gold.weights, names) for gold in bench.golds)

    before, after = to_golds(bench.before), to_golds(bench.after)
    floor = tuple(apart(a.weights, b.weights, names) for a, b in combinations(bench.golds, 2))
    return [
        Finding(
            metric=params.name,
            measure="verification_error",
            on="weights",
            direction="gold",
            n=sum(bench.before.weights[name].numel() for name in names),
            before=before,
            after=after,
            no_op=before,
            gold=floor,
            interval=(after, after),
            caveats=() if floor else ("a single retrained model: how far two of them lie apart is not known",),
        )
    ]
