"""Metric `mia_reference`: can an attacker who has a model that never saw D_f tell D_f from held-out samples?"""

import numpy as np

from app.metrics.mia_reference import MiaReferenceParams
from worker.attacks import TIMES, Attack, Sides, caveats, losses, prepared
from worker.contrasts import with_chance
from worker.estimates import Estimate, distance, roc_area
from worker.intervals import delong
from worker.numerics.outcome import Bench, Finding, Model
from worker.references import references


def mia_reference(bench: Bench, params: MiaReferenceParams) -> list[Finding]:
    """The area under the ROC curve of the loss difference to models that never saw D_f.

        d(x) = mean_k ℓ(f_k(x), y) − ℓ(f_θ(x), y),   members: D_f,  non-members: held-out, same class mix

    What makes a sample hard for every model cancels, and what is left is what this model has seen of it: fewer samples
    show a trace than the plain loss needs. To a model that never saw D_f both sides are equally new: 0.5.

    With several references, a gold model's own area is measured against the others. The no-op control attacks the
    untouched model with a draw of its own. Without references, D_f or held-out samples there is no finding.

    Source: Watson et al. 2022 (difficulty calibration); Sablayrolles et al. 2019 (a threshold a sample).
    """
    attack = prepared(bench, params.name, times=TIMES)
    known = references(bench, params.references, params.models) if attack else ()
    if attack is None or not known:
        return []
    after, before = (_area(bench, model, known, attack) for model in (bench.after, bench.before))
    golds = [
        _area(bench, gold, others, attack)
        for gold in bench.golds
        if (others := tuple(model for model in known if model is not gold))
    ]
    distant = distance(after, golds) if golds else None
    return [
        Finding(
            metric=params.name,
            measure="reference_auc",
            on="forget",
            direction="gold",
            n=attack.total,
            before=before.value,
            after=after.value,
            no_op=_area(bench, bench.before, known, attack, control=True).value,
            gold=tuple(gold.value for gold in golds),
            interval=_interval(bench, known, attack),
            attack_feature=f"loss below that of {len(known)} {_NAMES[params.references]}",
            caveats=(*caveats(bench, attack), *_alone(bench, golds)),
            error=after.error,
            gold_interval=distant.interval if distant else None,
            gold_error=distant.error if distant else None,
            contrast=with_chance(after, before, against="a model that never saw it"),
        )
    ]


_NAMES = {"gold": "retrained model(s)", "half_data": "model(s) trained on half of D_r"}


def difference(audited: Sides, known: list[Sides]) -> Sides:
    """d: the mean loss under the references minus the loss under the audited model, side by side."""
    forgotten = np.mean([k.forgotten for k in known], axis=0) - audited.forgotten
    return Sides(forgotten, np.mean([k.held_out for k in known], axis=0) - audited.held_out)


def _scores(bench: Bench, model: Model, known: tuple[Model, ...], attack: Attack, *, control: bool = False) -> Sides:
    audited, *calm = (losses(bench, m, attack, control=control) for m in (model, *known))
    return difference(audited, calm)


def _area(bench: Bench, model: Model, known: tuple[Model, ...], attack: Attack, *, control: bool = False) -> Estimate:
    return roc_area(*_scores(bench, model, known, attack, control=control))


def _interval(bench: Bench, known: tuple[Model, ...], attack: Attack) -> tuple[float, float]:
    return delong(*_scores(bench, bench.after, known, attack))


def _alone(bench: Bench, golds: list[Estimate]) -> tuple[str, ...]:
    if golds or not bench.golds:
        return ()
    return ("the only retrained model is the reference: it cannot be attacked by itself",)
