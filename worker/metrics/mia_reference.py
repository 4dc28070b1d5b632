"""Metric `mia_reference`: can an attacker who has a model that never saw D_f tell D_f from held-out samples?"""

import numpy as np

from app.metrics.mia_reference import MiaReferenceParams
from worker.attacks import TIMES, Sides, losses, prepared
from worker.numerics.outcome import Bench, Finding, Model
from worker.references import references
from worker.scoring import area_finding

NAMES = {"gold": "retrained model(s)", "half_data": "model(s) trained on half of D_r"}


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

    def score(model: Model, *, control: bool = False) -> Sides | None:
        others = [reference for reference in known if reference is not model]
        audited, *calm = (losses(bench, m, attack, control=control) for m in (model, *others))
        return difference(audited, calm) if calm else None

    feature = f"loss below that of {len(known)} {NAMES[params.references]}"
    return [area_finding(bench, attack, score, metric=params.name, measure="reference_auc", feature=feature)]


def difference(audited: Sides, known: list[Sides]) -> Sides:
    """d: the mean loss under the references minus the loss under the audited model, side by side."""
    forgotten = np.mean([k.forgotten for k in known], axis=0) - audited.forgotten
    return Sides(forgotten, np.mean([k.held_out for k in known], axis=0) - audited.held_out)
