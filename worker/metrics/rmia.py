"""Metric `rmia`: does D_f gain more confidence over reference models than other samples of the population?"""

import numpy as np
import torch
from numpy.typing import NDArray

from app.metrics.rmia import RmiaParams
from worker.attacks import TIMES, Attack, Sides, losses, prepared
from worker.intervals import Scores
from worker.numerics.answers import answers
from worker.numerics.outcome import Bench, Finding, Model
from worker.references import references, shadows
from worker.scoring import area_finding

Matrix = NDArray[np.float64]


def rmia(bench: Bench, params: RmiaParams) -> list[Finding]:
    """The area under the ROC curve of the attack's score.

        ratio(x) = P(x | θ) / P(x)
        offline   P(x) = ½ ((1 + a) P̄_out(x) + 1 − a)
        online    P(x) = ½ (P̄_in(x) + P̄_out(x)), the mean over all shadow models      references: shadows
        score(x) = share of population samples z with ratio(x) / ratio(z) ≥ γ

    P(x | θ) is the softmax confidence in the label, P̄_in and P̄_out its means over the reference models that did and
    did not see x. The population are the
    held-out samples that were not drawn as non-members, or, where all were, these. Without references, D_f or held-out
    samples there is no finding.

    Source: Zarifzadeh et al. 2024, §3 and, for the offline guess at P(x), appendix B.2.
    """
    attack = prepared(bench, params.name, times=TIMES)
    if attack is None:
        return []
    if params.references == "shadows":
        found = shadows(bench, params.models, attack.held_out)
        known, scale = found.models if found else (), None
    else:
        known, scale = references(bench, params.references, params.models), params.scale
    if not known:
        return []

    def score(model: Model, *, control: bool = False) -> Sides | None:
        others = [reference for reference in known if reference is not model]
        audited, *out = (losses(bench, m, attack, control=control) for m in (model, *others))
        if not out:
            return None
        population = ratio(*_population(bench, attack, model, others), scale)
        sides = (
            ratio(np.exp(-own), np.exp(-np.stack(theirs)), scale) for own, *theirs in zip(audited, *out, strict=True)
        )
        return Sides(*(beaten(side, population, params.gamma) for side in sides))

    feature = f"confidence relative to {len(known)} reference model(s) and to a population"
    return [area_finding(bench, attack, score, metric=params.name, measure="rmia_auc", feature=feature)]


def ratio(confidence: Scores, others: Matrix, scale: float | None) -> Scores:
    """P(x | θ) / P(x).

    Args:
        confidence: P(x | θ), `(N,)`.
        others: confidences of reference models, `(models, N)`: of ones that did not see x, or, without `scale`, of
            equally many that did.
        scale: a, in [0, 1].
    """
    prior = others.mean(axis=0)
    if scale is not None:
        prior = ((1 + scale) * prior + (1 - scale)) / 2
    return np.asarray(confidence / np.maximum(prior, np.finfo(np.float64).tiny))


def beaten(ratios: Scores, population: Scores, gamma: float) -> Scores:
    """The share of the population whose ratio, γ times, is no larger: `(N,)` and `(Z,)` to `(N,)`."""
    return np.searchsorted(np.sort(population) * gamma, ratios, side="right") / len(population)


def _population(bench: Bench, attack: Attack, model: Model, others: list[Model]) -> tuple[Scores, Matrix]:
    rest = torch.ones(len(bench.sets[attack.held_out]), dtype=torch.bool)
    rest[attack.draw.others] = False
    if not rest.any():
        rest = ~rest
    own, *theirs = (np.exp(-answers(bench, m, attack.held_out).loss[rest].numpy()) for m in (model, *others))
    return own, np.stack(theirs)
