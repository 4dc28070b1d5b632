"""Whether an audit can be carried out as asked: its gold models are such, and every metric has what it needs."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.core.errors import FieldError, Invalid, invalid_field
from app.core.params import AuditNeed, Kind, MetricParams
from app.forget_requests.schemas import AuditIn
from app.models import service as models
from app.models.queries import lineage
from app.tables import Dataset, Model, ModelVersion

WORDS: Mapping[AuditNeed, str] = {
    AuditNeed.HELD_OUT: "held-out data: the data set has no rows of split `test`",
    AuditNeed.GOLD: "gold models: ask for gold `retrain`, or `registered` with gold_versions",
    AuditNeed.RECIPE: "the training recipe of the model",
    AuditNeed.SGD: "a model that was trained by SGD",
    AuditNeed.INITIAL_WEIGHTS: "the weights before training: upload them, or state initial_seed in the recipe",
    AuditNeed.METHOD: "the method, to carry it out again: name it in the audit of a forget request",
}


def check(
    session: Session,
    audit: AuditIn,
    kind: Kind,
    model: Model,
    dataset: Dataset,
    audited: Sequence[ModelVersion],
    *,
    of_request: bool = False,
) -> None:
    """Refuse what could not be measured, and gold models that are none.

    Metrics that the caller did not name are the default ones: each of these is measured where it can be.

    Args:
        session: the caller's.
        audit: as asked for.
        kind: of the target.
        model: whose versions are audited.
        dataset: that it was trained on.
        audited: the versions, the one before first.
        of_request: of a forget request, whose method is at hand.

    Raises:
        Invalid: names the fields.
    """
    if audit.gold == "retrain" and model.recipe is None:
        raise invalid_field("/audit/gold", "Retraining needs the training recipe of the model.", code="recipe_missing")
    for place, version_id in enumerate(audit.gold_versions):
        pointer = f"/audit/gold_versions/{place}"
        gold = models.ready_version(session, model, version_id, pointer=pointer, role="gold")
        related = set(lineage(session, gold)) & {version.id for version in audited}
        if related or gold.weights_sha256 in {version.weights_sha256 for version in audited}:
            message = "This gold version shares weights with a version that is audited: it is no independent model."
            raise invalid_field(pointer, message, code="gold_shares_weights")
    there = _there(audit, model, dataset, audited[0])
    if of_request:
        there |= {AuditNeed.METHOD}
    unmet = [
        FieldError(f"/audit/metrics/{place}", f"{metric.name} {why}.")
        for place, metric in enumerate(audit.metrics)
        if "metrics" in audit.model_fields_set and (why := _unmet(metric, kind, there))
    ]
    if unmet:
        raise Invalid("A metric that was asked for cannot be measured.", code="metric_needs_unmet", errors=unmet)


def _there(audit: AuditIn, model: Model, dataset: Dataset, before: ModelVersion) -> frozenset[AuditNeed]:
    recipe = model.recipe or {}
    found = {
        AuditNeed.HELD_OUT: sum((dataset.counts or {}).get("test", {}).values()) > 0,
        AuditNeed.GOLD: audit.gold != "none",
        AuditNeed.RECIPE: model.recipe is not None,
        AuditNeed.SGD: recipe.get("optimizer") == "sgd",
        AuditNeed.INITIAL_WEIGHTS: before.initial_weights_path is not None or recipe.get("initial_seed") is not None,
    }
    return frozenset(need for need, is_there in found.items() if is_there)


def _unmet(metric: MetricParams, kind: Kind, there: frozenset[AuditNeed]) -> str | None:
    if kind not in metric.serves:
        return f"does not serve requests of kind {kind}"
    missing = sorted(metric.needs() - there)
    return f"needs {' and '.join(WORDS[need] for need in missing)}" if missing else None
