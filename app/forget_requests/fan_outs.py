"""Requests without a model: one child for every model that was trained on the data and has a version deployed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Conflict, FieldError, Invalid, invalid_field
from app.core.ids import new_id
from app.core.params import Kind
from app.datasets import service as datasets
from app.domain.deadlines import due_at
from app.domain.lifecycle import RequestStatus, is_final
from app.forget_requests import decisions, service
from app.forget_requests.planning import TOGETHER
from app.forget_requests.schemas import (
    ActionOut,
    ChildOut,
    CoveredModelOut,
    FanOutOut,
    ForgetRequestIn,
    ForgetRequestOut,
)
from app.jobs import queries
from app.tables import Alias, Dataset, FanOut, ForgetRequest, Model
from app.tables.base import utcnow

COVERED = frozenset({"already_forgotten", "already_requested"})
ENDS = (RequestStatus.FAILED, RequestStatus.REJECTED, RequestStatus.CANCELLED, RequestStatus.COMPLETED)
"""What it is when all children are over: the first of these that one of them is."""
WAITING = frozenset({RequestStatus.AWAITING_APPROVAL, RequestStatus.AWAITING_RELEASE, RequestStatus.CANCELLING})
"""What it is while all children that are not over are so."""
UNDER_WAY = frozenset(RequestStatus) - WAITING - {RequestStatus.RECEIVED, RequestStatus.QUEUED} | {
    RequestStatus.AWAITING_RELEASE
}
"""With one of these among them, it is running."""


def accept(session: Session, wish: ForgetRequestIn, *, tenant_id: str, actor: str) -> ForgetRequestOut | FanOutOut:
    """A request for one model, or without one for all of them."""
    if wish.model is not None:
        return service.describe(service.submit(session, wish, tenant_id=tenant_id, actor=actor))
    return describe(session, submit(session, wish, tenant_id=tenant_id, actor=actor))


def look_up(session: Session, request_id: str, *, tenant_id: str) -> ForgetRequestOut | FanOutOut:
    """A request of either kind."""
    row = find(session, request_id, tenant_id=tenant_id)
    if row is not None:
        return describe(session, row)
    return service.describe(service.get(session, request_id, tenant_id=tenant_id))


def call_off(session: Session, request_id: str, *, tenant_id: str, actor: str) -> ForgetRequestOut | FanOutOut:
    """Cancel a request of either kind."""
    row = find(session, request_id, tenant_id=tenant_id)
    if row is not None:
        return describe(session, cancel(session, row, actor=actor))
    request = service.get(session, request_id, tenant_id=tenant_id)
    return service.describe(decisions.cancel(session, request, actor=actor))


def submit(session: Session, wish: ForgetRequestIn, *, tenant_id: str, actor: str) -> FanOut:
    """Accept a request for every model; if one model cannot carry it out, none is asked to.

    Raises:
        Invalid: it can only be asked of one model, or one of the models cannot; says which.
        Conflict: nothing is left to forget for any model.
    """
    dataset = _checked(session, wish, tenant_id)
    members = _members(session, dataset, wish.alias)
    if not members:
        message = f"No model that was trained on this data set has an alias {wish.alias}: name a model."
        raise invalid_field("/target/dataset", message, code="nothing_deployed")
    received_at = service.received_at_of(wish)
    row = FanOut(
        id=new_id("fr"),
        tenant_id=tenant_id,
        dataset_id=dataset.id,
        alias=wish.alias,
        kind=wish.target.kind,
        external_id=wish.external_id,
        received_at=received_at,
        due_at=due_at(received_at),
        covered=[],
    )
    session.add(row)
    session.flush()
    queries.lock_joinable(session, [model.id for model in members])  # before the audit log is written to
    children = [child for model in members if (child := _child(session, row, wish, model, actor)) is not None]
    if not children:
        raise Conflict(
            "Every model has forgotten all of it already, or is about to; follow those requests.",
            code="already_requested",
            covered=row.covered,
        )
    data = {"children": [child.id for child in children]}
    audit_log.record(
        session, tenant_id=tenant_id, actor=actor, action="forget_request.fanned_out", resource=row.id, data=data
    )
    return row


def _checked(session: Session, wish: ForgetRequestIn, tenant_id: str) -> Dataset:
    if Kind(wish.target.kind) not in TOGETHER:
        message = "Only requests for samples or subjects go to every model: name one."
        raise invalid_field("/model", message, code="model_required")
    if wish.version is not None:
        raise invalid_field("/version", "A version belongs to one model: name the model.", code="model_required")
    if wish.audit.gold_versions:
        message = "Gold versions belong to one model: name the model."
        raise invalid_field("/audit/gold_versions", message, code="model_required")
    return datasets.ready(session, wish.target.dataset, tenant_id=tenant_id, pointer="/target/dataset")


def _members(session: Session, dataset: Dataset, alias: str) -> Sequence[Model]:
    deployed = select(Model).join(Alias, Alias.model_id == Model.id)
    query = deployed.where(Model.dataset_id == dataset.id, Model.tenant_id == dataset.tenant_id, Alias.name == alias)
    return session.scalars(query.order_by(Model.id)).all()


def _child(session: Session, row: FanOut, wish: ForgetRequestIn, model: Model, actor: str) -> ForgetRequest | None:
    own = wish.model_copy(update={"model": model.id})
    try:
        return service.submit(session, own, tenant_id=row.tenant_id, actor=actor, parent_id=row.id)
    except Invalid as error:
        errors = [FieldError(wrong.pointer, f"Model {model.name}: {wrong.message}") for wrong in error.errors]
        raise Invalid(
            f"Model {model.name}: {error.detail}", code=error.code, errors=errors, model=model.name
        ) from error
    except Conflict as error:
        if error.code not in COVERED or "forget_request" not in error.extra:
            raise Conflict(f"Model {model.name}: {error.detail}", code=error.code, **error.extra) from error
        covering = {"model_id": model.id, "forget_request": error.extra["forget_request"], "code": error.code}
        row.covered = [*row.covered, covering]
        return None


def find(session: Session, request_id: str, *, tenant_id: str) -> FanOut | None:
    """The tenant's request without a model of this id, if it is one."""
    return session.scalar(select(FanOut).where(FanOut.id == request_id, FanOut.tenant_id == tenant_id))


def children_of(session: Session, row: FanOut) -> Sequence[ForgetRequest]:
    """One request for each model, in the order of the models."""
    query = select(ForgetRequest).where(ForgetRequest.parent_id == row.id).order_by(ForgetRequest.id)
    return session.scalars(query.execution_options(populate_existing=True)).all()


def cancel(session: Session, row: FanOut, *, actor: str) -> FanOut:
    """Cancel every child that still can be.

    Raises:
        Conflict: none can be: says why of the last.
    """
    waiting = [child for child in children_of(session, row) if not is_final(child.status)]
    if not waiting:
        raise Conflict("The request is over.", code="already_final")
    queries.lock_in_order(session, [child.job_id for child in waiting if child.job_id])
    refused = [error for child in waiting if (error := _refused(session, child, actor)) is not None]
    if len(refused) == len(waiting):
        raise refused[-1]
    return row


def _refused(session: Session, child: ForgetRequest, actor: str) -> Conflict | None:
    try:
        decisions.cancel(session, child, actor=actor)
    except Conflict as error:
        return error
    return None


def status_of(counts: Mapping[RequestStatus, int]) -> RequestStatus:
    """What a request is whose children are in these states; at least one."""
    unfinished = {status for status in counts if not is_final(status)}
    if not unfinished:
        return next(status for status in ENDS if counts.get(status))
    if len(unfinished) == 1 and unfinished <= WAITING:
        return unfinished.pop()
    return RequestStatus.RUNNING if UNDER_WAY & counts.keys() else RequestStatus.QUEUED


def describe(session: Session, row: FanOut) -> FanOutOut:
    """It as the wire has it."""
    children = children_of(session, row)
    ids = {child.model_id for child in children} | {covering["model_id"] for covering in row.covered}
    names = {model.id: model.name for model in session.scalars(select(Model).where(Model.id.in_(ids)))}
    counts = Counter(child.status for child in children)
    status = status_of(counts)
    final = all(is_final(status) for status in counts)
    facts: dict[str, Any] = {name: getattr(row, name) for name in FanOutOut.model_fields if hasattr(row, name)}
    return FanOutOut(
        **facts,
        status=status,
        final=final,
        overdue=not final and utcnow() > row.due_at,
        counts=dict(counts),
        children=[_described(child, names[child.model_id]) for child in children],
        already_forgotten=[CoveredModelOut(**covering, model=names[covering["model_id"]]) for covering in row.covered],
        next_actions=_next_actions(row, final=final),
    )


def _described(child: ForgetRequest, model: str) -> ChildOut:
    facts = {name: getattr(child, name) for name in ChildOut.model_fields if name != "model"}
    return ChildOut(**facts, model=model)


def _next_actions(row: FanOut, *, final: bool) -> list[ActionOut]:
    here = f"/forget-requests/{row.id}"
    children = ActionOut(action="list_children", method="GET", href=f"/forget-requests?parent={row.id}")
    return [children] if final else [children, ActionOut(action="cancel", method="POST", href=f"{here}/cancel")]
