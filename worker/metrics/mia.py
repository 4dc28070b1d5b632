"""Metric `mia`: can an attacker tell D_f from samples that were never trained on, by their loss?"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from app.metrics.mia import MiaParams
from worker.intervals import Scores, area, delong, wilson
from worker.numerics import evaluation
from worker.numerics.draws import Draw, matched
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived

LARGEST_LOSS = 400.0  # nats; Kurmanji et al. clip there, and a silenced class has an infinite loss
POWERFUL_FROM = 500  # samples; fewer seldom find even a model to which nothing was done (ALGORITHMS.md §4)
HELD_OUT = {"class": "test_forget", "backdoor": "test_extra", "leakage": "test_extra"}
"""The held-out set that is most like D_f: of the forgotten class, or with the same information added; else `test`."""


def mia(bench: Bench, params: MiaParams) -> list[Finding]:
    """Two attacks on the loss, D_f against equally many held-out samples with the same class mix.

        attack_accuracy   cross-validated logistic regression on ℓ(f_θ(x), y), right out of fold
        attack_auc        area under the ROC curve of −ℓ: how often a forgotten sample has the smaller loss

    Both are 0.5 where the attacker learns nothing. The accuracy's attacker learns which side has the smaller loss, the
    area's does not: below 0.5, D_f stands out by *larger* losses. Samples of a class that one side lacks are left out,
    and reported. The no-op control attacks the untouched model with draws and folds of its own. Where a feature is
    forgotten (backdoor, leakage), held-out samples carry it too, through T: else the attack would find the feature,
    not membership.

    Without held-out samples of D_f's classes there is nothing to compare with, and no finding.

    Source: Kurmanji et al. 2023, §5; Yeom et al. 2018.
    """
    held_out = HELD_OUT.get(bench.kind, "test")
    if "forget" not in bench.sets or held_out not in bench.sets:
        return []
    labels = bench.sets["forget"].labels, bench.sets[held_out].labels
    draw, other_draw = (
        matched(*labels, seed=derived(bench.seed, params.name, control)) for control in ("audit", "no-op")
    )
    n = len(draw.members)
    if n < 2:
        return []
    before, after, *golds = (
        _losses(bench, model, draw, held_out) for model in (bench.before, bench.after, *bench.golds)
    )
    no_op = _losses(bench, bench.before, other_draw, held_out)
    folds, seed = min(params.folds, n), bench.seed
    caveats = _caveats(n, len(labels[0]), held_out)
    right, areas = attack_accuracy(*after, folds=folds, seed=seed), attack_auc(*after)
    return [
        Finding(
            metric=params.name,
            measure="attack_accuracy",
            on="forget",
            direction="gold",
            n=2 * n,
            before=attack_accuracy(*before, folds=folds, seed=seed),
            after=right,
            no_op=attack_accuracy(*no_op, folds=folds, seed=seed + 1),
            gold=tuple(attack_accuracy(*gold, folds=folds, seed=seed) for gold in golds),
            interval=wilson(right, 2 * n),
            attack_feature="loss",
            caveats=caveats,
        ),
        Finding(
            metric=params.name,
            measure="attack_auc",
            on="forget",
            direction="gold",
            n=2 * n,
            before=attack_auc(*before),
            after=areas,
            no_op=attack_auc(*no_op),
            gold=tuple(attack_auc(*gold) for gold in golds),
            interval=delong(-after[0], -after[1]),
            attack_feature="loss",
            caveats=caveats,
        ),
    ]


def attack_accuracy(forgotten: Scores, held_out: Scores, *, folds: int, seed: int) -> float:
    """How often a logistic regression, fitted on the other folds, tells the two sides apart.

    Args:
        forgotten: losses of D_f, `(n,)`.
        held_out: losses of samples that were never trained on, `(n,)`.
        folds: at most n.
        seed: of the folds.
    """
    losses = np.concatenate([forgotten, held_out])
    scale = losses.std() or 1.0
    sides = np.repeat([1, 0], [len(forgotten), len(held_out)])
    splits = StratifiedKFold(folds, shuffle=True, random_state=derived(seed, "folds") % 2**32)
    guesses = cross_val_predict(LogisticRegression(), ((losses - losses.mean()) / scale)[:, None], sides, cv=splits)
    return float((guesses == sides).mean())


def attack_auc(forgotten: Scores, held_out: Scores) -> float:
    """Share of pairs in which the forgotten sample has the smaller loss, ties half; losses `(m,)` and `(n,)`."""
    return area(-forgotten, -held_out)


def _losses(bench: Bench, model: Model, draw: Draw, held_out: str) -> tuple[Scores, Scores]:
    sides = bench.sets["forget"].at(draw.members), bench.sets[held_out].at(draw.others)
    forgotten, others = (
        evaluation.per_sample_loss(evaluation.logits(model, side, run=bench.run), side.labels) for side in sides
    )
    return forgotten.clamp(max=LARGEST_LOSS).numpy(), others.clamp(max=LARGEST_LOSS).numpy()


def _caveats(n: int, forgotten: int, held_out: str) -> tuple[str, ...]:
    caveats = []
    if n < forgotten:
        caveats.append(
            f"{forgotten - n} of {forgotten} forgotten samples left out: too few held-out samples of their classes"
        )
    if n < POWERFUL_FROM:
        caveats.append(
            f"{n} samples a side are too few: from {POWERFUL_FROM} on this attack finds an untouched model reliably"
        )
    if held_out == "test_extra":
        caveats.append("held-out samples were given the information by T")
    return tuple(caveats)
