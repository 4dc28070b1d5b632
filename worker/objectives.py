"""What a search of hyper-parameters goes by: one number from what was measured on validation data."""

from collections.abc import Callable, Mapping
from statistics import mean

from app.domain.objective import Objective

Measures = Mapping[str, float]
"""By "measure.set", in the names of `worker.numerics.outcome.Bench`: `accuracy.retain`, `attack_auc.forget`."""


def min_accuracy(measures: Measures, reference: Measures) -> float:  # noqa: ARG001 - the shape of all of them
    """The smallest of the pattern's accuracies: the search must not buy one with another.

        B: min(D_r, D_f,clean, D_r,extra)      C: min(D_r, D_f, D_r,extra)

    Source: Hayase, Yasutomi & Katoh, 2020, §5.
    """
    return min(measures.values())


def gap_to_gold(measures: Measures, reference: Measures) -> float:
    """How far it is from the model that was retrained without D_f: the mean of |Δ| over all that is measured.

    Source: Fan et al., SalUn, 2024, "average gap"; here also over the area under the curve of an attack.
    """
    return mean(abs(value - reference[name]) for name, value in measures.items())


def gap_to_thresholds(measures: Measures, reference: Measures) -> float:
    """How far a forgotten class is from what the verdict asks for where there is no gold.

        mean(accuracy(D_f) − 0,  max(0, accuracy_before(D_r) − accuracy(D_r)))

    The class is to be answered no more, and what is kept as well as before; see `app.domain.verdict`.
    """
    lost = max(0.0, reference["accuracy.retain"] - measures["accuracy.retain"])
    return mean((measures["accuracy.forget"], lost))


OBJECTIVES: Mapping[Objective, Callable[[Measures, Measures], float]] = {
    Objective.MIN_ACCURACY: min_accuracy,
    Objective.GAP_TO_GOLD: gap_to_gold,
    Objective.GAP_TO_THRESHOLDS: gap_to_thresholds,
}
