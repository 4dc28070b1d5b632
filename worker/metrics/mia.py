"""Metric `mia`: can an attacker tell D_f from samples that were never trained on, by their loss?"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from app.metrics.mia import MiaParams
from worker.attacks import Attack, caveats, losses, prepared
from worker.contrasts import with_chance, with_golds
from worker.estimates import distance, roc_area
from worker.intervals import Scores, area, delong, wilson
from worker.numerics.outcome import Bench, Finding
from worker.numerics.randomness import derived

POWERFUL_FROM = 500  # samples; fewer seldom find even a model to which nothing was done (ALGORITHMS.md §4)


def mia(bench: Bench, params: MiaParams) -> list[Finding]:
    """Two attacks on the loss, D_f against equally many held-out samples with the same class mix.

        attack_accuracy   cross-validated logistic regression on ℓ(f_θ(x), y), right out of fold
        attack_auc        area under the ROC curve of −ℓ: how often a forgotten sample has the smaller loss

    Both are 0.5 where the attacker learns nothing. The accuracy's attacker learns which side has the smaller loss, the
    area's does not: below 0.5, D_f stands out by *larger* losses. Samples of a class that one side lacks are left out,
    and reported. The no-op control attacks the untouched model with draws and folds of its own. Where a feature is
    forgotten (backdoor, leakage), held-out samples carry it too, through T: else the attack would find the feature,
    not membership.

    The area is contrasted with that of the gold models on the same samples, where there are any, else with 0.5.
    Without held-out samples of D_f's classes there is nothing to compare with, and no finding.

    Source: Kurmanji et al. 2023, §5; Yeom et al. 2018.
    """
    attack = prepared(bench, params.name)
    return [] if attack is None else [_accuracy(bench, params, attack), _area(bench, params, attack)]


def _accuracy(bench: Bench, params: MiaParams, attack: Attack) -> Finding:
    folds, seed = min(params.folds, attack.n), bench.seed
    before, after, *golds = (
        attack_accuracy(*losses(bench, model, attack), folds=folds, seed=seed)
        for model in (bench.before, bench.after, *bench.golds)
    )
    no_op = losses(bench, bench.before, attack, control=True)
    return Finding(
        metric=params.name,
        measure="attack_accuracy",
        on="forget",
        direction="gold",
        n=attack.total,
        before=before,
        after=after,
        no_op=attack_accuracy(*no_op, folds=folds, seed=seed + 1),
        gold=tuple(golds),
        interval=wilson(after, attack.total),
        attack_feature="loss",
        caveats=_caveats(bench, attack),
    )


def _area(bench: Bench, params: MiaParams, attack: Attack) -> Finding:
    sides = [losses(bench, model, attack) for model in (bench.before, bench.after, *bench.golds)]
    before, after, *golds = (roc_area(-forgotten, -held_out) for forgotten, held_out in sides)
    distant = distance(after, golds) if golds else None
    return Finding(
        metric=params.name,
        measure="attack_auc",
        on="forget",
        direction="gold",
        n=attack.total,
        before=before.value,
        after=after.value,
        no_op=attack_auc(*losses(bench, bench.before, attack, control=True)),
        gold=tuple(gold.value for gold in golds),
        interval=delong(-sides[1].forgotten, -sides[1].held_out),
        attack_feature="loss",
        caveats=_caveats(bench, attack),
        error=after.error,
        gold_interval=distant.interval if distant else None,
        gold_error=distant.error if distant else None,
        contrast=with_golds(
            after,
            before,
            golds,
            against="a model retrained without it",
            expected_spread=1 / len(attack.draw.others),  # a sample may always have come one place further up or down
            drawn=True,
        )
        if golds
        else with_chance(after, before, against="a model that never saw it"),
    )


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
    attacker = LogisticRegression(solver="liblinear")  # of one feature: half the time of the default
    guesses = cross_val_predict(attacker, ((losses - losses.mean()) / scale)[:, None], sides, cv=splits)
    return float((guesses == sides).mean())


def attack_auc(forgotten: Scores, held_out: Scores) -> float:
    """Share of pairs in which the forgotten sample has the smaller loss, ties half; losses `(m,)` and `(n,)`."""
    return area(-forgotten, -held_out)


def _caveats(bench: Bench, attack: Attack) -> tuple[str, ...]:
    if attack.n >= POWERFUL_FROM:
        return caveats(bench, attack)
    few = (
        f"{attack.n} samples a side are too few: from {POWERFUL_FROM} on this attack finds an untouched model reliably"
    )
    return (*caveats(bench, attack), few)
