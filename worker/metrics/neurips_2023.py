"""Metric `neurips_2023`: can the method's models be told from retrained ones, sample by sample, over many of both?"""

from math import log, prod, sqrt
from typing import NamedTuple

import numpy as np

from app.metrics.neurips_2023 import Neurips2023Params
from worker.crowd import KEPT, Crowd, alone, crowd
from worker.epsilons import ceiling, epsilon, points
from worker.numerics.answers import answers
from worker.numerics.errors import NumericsError
from worker.numerics.outcome import Again, Bench, Finding

KINDS = frozenset({"samples", "subjects", "class"})
SETS = "forget", *KEPT


class NoDistribution(NumericsError):
    """There are no two kinds of models to compare."""

    code = "no_distribution"


class Quality(NamedTuple):
    """F, the standard error of this mean over the samples, and what the accuracies make of it."""

    value: float
    error: float
    factor: float


def neurips_2023(bench: Bench, params: Neurips2023Params) -> list[Finding]:
    """The forgetting quality F and the score of the challenge.

        F     = 1/n Σ_s H(ε_s)
        score = F · RA_U / RA_R · TA_U / TA_R

    ε_s and H: see `worker.epsilons`, over the confidences φ = log(p_y / (1 − p_y)) of N models that the method made
    under other seeds (U) and N retrained ones (R). RA and TA are accuracies on D_r and held-out data, means over the
    models. The model before is a single one: counted N times it is told from retrained ones in every sample, so that
    doing nothing scores 0. Retraining itself does not score 1, since of many thresholds the best is taken.

    Without D_f, D_r, held-out data or a method to carry out again no finding; nor where every seed gives the same model
    or a run fails, which is noted.

    Source: Triantafillou et al. 2024.
    """
    if bench.again is None or bench.kind not in KINDS or not bench.sets.keys() >= set(SETS):
        return []
    try:
        unlearned, retrained = _crowds(bench, bench.again, params)
    except NumericsError as error:
        bench.run.note(f"{params.name}.not_measured", str(error))
        return []
    before = alone({on: answers(bench, bench.before, on) for on in SETS}, params.models)
    after, untouched = (_quality(bench, one, retrained, params) for one in (unlearned, before))
    return [
        _finding(bench, params, "forgetting_quality", ("forget",), after._replace(factor=1), untouched.value),
        _finding(bench, params, "challenge_score", SETS, after, untouched.value * untouched.factor),
    ]


def _crowds(bench: Bench, again: Again, params: Neurips2023Params) -> tuple[Crowd, Crowd]:
    same = NoDistribution("another seed gives the same model, and one model is no distribution to compare with another")
    if not again.random:
        raise same
    unlearned = crowd(bench, again.unlearned, params.models, name=f"{params.name}_unlearned", run=bench.run)
    if not np.ptp(unlearned.confidence, axis=0).any():
        raise same
    retrained = crowd(bench, again.retrained, params.models, name=f"{params.name}_retrained", run=again.whole)
    if not all(retrained.accuracy.values()):
        raise NoDistribution("retrained models are never right: there is no accuracy to relate to")
    return unlearned, retrained


def _quality(bench: Bench, one: Crowd, retrained: Crowd, params: Neurips2023Params) -> Quality:
    n, epsilons = one.confidence.shape[1], list[float]()
    for own, theirs in zip(one.confidence.T, retrained.confidence.T, strict=True):
        bench.run.progress(f"{params.name}_epsilons", len(epsilons), n, "samples")
        epsilons.append(epsilon(own, theirs))
    worth = points(np.array(epsilons), params.models)
    error = float(worth.std(ddof=1)) / sqrt(n) if n > 1 else 0.0
    return Quality(float(worth.mean()), error, prod(one.accuracy[on] / retrained.accuracy[on] for on in KEPT))


def _finding(
    bench: Bench, params: Neurips2023Params, measure: str, on: tuple[str, ...], found: Quality, before: float
) -> Finding:
    after, error, count = found.value * found.factor, found.error * found.factor, params.models
    return Finding(
        metric=params.name,
        measure=measure,
        on=", ".join(on),
        direction="higher",
        n=sum(len(bench.sets[name]) for name in on),
        before=before,
        after=after,
        no_op=before,
        gold=(),
        interval=(max(0.0, after - 1.96 * error), after + 1.96 * error),
        attack_feature=f"confidence of {count} models that the method made against that of {count} retrained ones",
        caveats=_caveats(count),
        error=error,
    )


def _caveats(count: int) -> tuple[str, ...]:
    limit = f"no ε above ln {count - 1} = {log(count - 1):.1f} can be measured"
    return (
        f"{count} models of each kind, where the challenge took 512: {limit}",
        f"a method that is retraining itself would have a forgetting quality of about {ceiling(count):.2f}, not of 1",
        "the interval is over the samples, which the same models answered: other models would give other numbers",
    )
