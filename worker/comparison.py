"""A stand-alone audit from its row: two versions, what one is said to have forgotten, gold models to compare with."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_reports.stand_alone import asked_of
from app.core.errors import Invalid
from app.domain.report import NotMeasured
from app.forget_requests import service as forget_requests
from app.tables import AuditReport, Dataset, ForgetRequest, Model, ModelVersion
from worker.loading import Case, Data
from worker.numerics.outcome import Bench
from worker.numerics.outcome import Model as Answering
from worker.numerics.weights import Weights


class Comparison(NamedTuple):
    """What is to be audited."""

    case: Case
    after: ModelVersion


def comparison_of(session: Session, row: AuditReport) -> Comparison:
    """Everything that the audit refers to. Its case is that of a forget request which nobody made."""
    asked = asked_of(row)
    model, base = session.get_one(Model, asked.model_id), session.get_one(ModelVersion, asked.before)
    dataset = session.get_one(Dataset, asked.dataset_id)
    request = ForgetRequest(  # never added to a session
        id=row.id,
        kind=asked.target.kind.value,
        target=asked.target.model_dump(mode="json"),
        audit=asked.audit.model_dump(mode="json"),
        seed=asked.seed,
        method={"name": "retrain"},  # needs no stored Fisher
        ladder=[],
    )
    pairs = asked.target.pairs
    query = select(Dataset).where(Dataset.name == pairs, Dataset.tenant_id == row.tenant_id)
    case = Case(
        request=request,
        model=model,
        base=base,
        golds=tuple(session.get_one(ModelVersion, v) for v in asked.audit.gold_versions),
        data=Data(dataset, model),
        pairs=None if pairs is None else Data(session.scalars(query).one(), model),
        forget=asked.positions,
        gone=forget_requests.excluded_positions(session, dataset.id),
        gone_classes=forget_requests.forgotten_classes(session, base),
    )
    return Comparison(case, session.get_one(ModelVersion, asked.after))


def check_independent(golds: Sequence[Answering], *audited: Answering) -> None:
    """No gold model holds a tensor of an audited model: it would be no model that never saw D_f.

    Tensors that hold one value only are left out: training leaves them alike by chance.

    Raises:
        Invalid: it does; says which tensor.
    """
    for gold in golds:
        for model in audited:
            shared = _shared(gold.weights, model.weights)
            if shared is not None:
                message = f"a gold version has the tensor {shared} from an audited version: it is no independent model"
                raise Invalid(message, code="gold_shares_weights")


def _shared(gold: Weights, audited: Weights) -> str | None:
    for name, tensor in gold.items():
        varied = tensor.is_floating_point() and tensor.numel() > 1 and bool((tensor != tensor.flatten()[0]).any())
        if varied and name in audited and torch.equal(tensor, audited[name]):
            return name
    return None


def not_measured(bench: Bench, asked: list[str], found: set[str]) -> list[NotMeasured]:
    """The metrics that were asked for and gave no finding, with what they missed."""
    there = {name for name, examples in bench.sets.items() if len(examples)}
    missing = [words for name, words in NAMES.items() if name not in there]
    reason = (
        f"there is no {' and no '.join(missing)}" if missing else "it has nothing to say about this kind of request"
    )
    return [NotMeasured(metric=name, reason=reason) for name in asked if name not in found]


NAMES = {"forget": "data to be forgotten", "retain": "kept data", "test": "held-out data"}
