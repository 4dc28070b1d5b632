"""Metric `lira`: how unlikely is the model's confidence in D_f under models that never saw it?"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from app.metrics.lira import LiraParams
from worker.attacks import TIMES, Attack, Sides, logit, losses, prepared
from worker.intervals import Scores
from worker.numerics.outcome import Bench, Finding, Model
from worker.references import Source, references, shadows
from worker.scoring import Score, area_finding, rate_finding

Matrix = NDArray[np.float64]


def lira(bench: Bench, params: LiraParams) -> list[Finding]:
    """The likelihood-ratio attack: AUC, and TPR at 1 % and at 0.1 % FPR.

        φ = log(p_y / (1 − p_y))
        offline   Λ = Φ((φ − μ_out) / σ_out)
        online    log Λ = log N(φ | μ_in, σ_in²) − log N(φ | μ_out, σ_out²)      references: shadows

    μ and σ are over the reference models that did (in) and did not (out) see the sample. One σ each for all samples, as
    the paper's code has it where shadow models are few; offline, samples are ranked by φ − μ_out over σ, which Λ never
    reorders. Without references, D_f or held-out samples there is no finding.

    Source: Carlini et al. 2022, §V, §VI and eq. 4; against unlearned models, U-LiRA: Hayes et al. 2024.
    """
    attack = prepared(bench, params.name, times=TIMES)
    if attack is None:
        return []
    score, feature = (
        _online(bench, attack, params) if params.references == "shadows" else _offline(bench, attack, params)
    )
    if score is None:
        return []
    name = params.name
    return [
        area_finding(bench, attack, score, metric=name, measure="lira_auc", feature=feature),
        rate_finding(bench, attack, score, 0.01, metric=name, measure="lira_tpr_at_1_percent"),
        rate_finding(bench, attack, score, 0.001, metric=name, measure="lira_tpr_at_01_percent"),
    ]


def _online(bench: Bench, attack: Attack, params: LiraParams) -> tuple[Score | None, str]:
    found = shadows(bench, params.models, attack.held_out)
    if found is None:
        return None, ""

    def score(model: Model, *, control: bool = False) -> Sides | None:
        audited, *seen = (losses(bench, m, attack, control=control) for m in (model, *found.models))
        draw = attack.other_draw if control else attack.draw
        sides = [
            (logit(own), np.stack([logit(losses) for losses in theirs]), inside)
            for own, *theirs, inside in zip(audited, *seen, found.drawn(attack.held_out, draw), strict=True)
        ]
        spread = [
            common_deviation(np.concatenate([shown(phis, inside == saw) for _, phis, inside in sides], axis=1))
            for saw in (True, False)
        ]
        return Sides(
            *(
                online(phi, shown(phis, inside).mean(axis=0), spread[0], shown(phis, ~inside).mean(axis=0), spread[1])
                for phi, phis, inside in sides
            )
        )

    return score, f"confidence against {len(found.models)} shadow models, of which half saw the sample"


def _offline(bench: Bench, attack: Attack, params: LiraParams) -> tuple[Score | None, str]:
    source: Source = "gold" if params.references == "gold" else "half_data"
    known = references(bench, source, params.models)
    if not known:
        return None, ""

    def score(model: Model, *, control: bool = False) -> Sides | None:
        others = [reference for reference in known if reference is not model]
        audited, *out = (losses(bench, m, attack, control=control) for m in (model, *others))
        if not out:
            return None
        sides = [
            (logit(own), np.stack([logit(losses) for losses in theirs]))
            for own, *theirs in zip(audited, *out, strict=True)
        ]
        sigma = common_deviation(np.concatenate([shadows for _, shadows in sides], axis=1))
        return Sides(*(standardised(phi, shadows.mean(axis=0), sigma) for phi, shadows in sides))

    return score, f"confidence against {len(known)} reference model(s)"


def shown(phis: Matrix, by: NDArray[np.bool_]) -> Matrix:
    """φ of those models that are marked, of every sample equally many: `(models, N)` to `(marked, N)`."""
    return phis.T[by.T].reshape(phis.shape[1], -1).T


def standardised(phi: Scores, mean: Scores, deviation: float | Scores) -> Scores:
    """The number z = (φ − μ_out) / σ_out; shapes broadcast."""
    return (phi - mean) / deviation


def offline(phi: Scores, mean: Scores, deviation: float | Scores) -> Scores:
    """Λ = 1 − P[Z > φ] = Φ(z), Z ~ N(μ_out, σ_out²): the larger, the likelier a member.

    Source: Carlini et al. 2022, eq. 4.
    """
    return np.asarray(norm.cdf(standardised(phi, mean, deviation)))


def online(
    phi: Scores, mean_in: Scores, deviation_in: float | Scores, mean_out: Scores, deviation_out: float | Scores
) -> Scores:
    """The logarithm log Λ = log N(φ | μ_in, σ_in²) − log N(φ | μ_out, σ_out²), with shadow models that saw the sample.

    Source: Carlini et al. 2022, §V.
    """
    return np.asarray(norm.logpdf(phi, mean_in, deviation_in) - norm.logpdf(phi, mean_out, deviation_out))


def common_deviation(shadows: Matrix) -> float:
    """One σ for all samples: the root of the mean variance between shadow models; 1 for a single one.

    Then only the order counts, and σ does not change it.

    Args:
        shadows: φ, `(models, N)`.
    """
    deviation = float(np.sqrt(shadows.var(axis=0, ddof=1).mean())) if len(shadows) > 1 else 1.0
    return deviation or 1.0
