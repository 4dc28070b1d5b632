"""The life of a forget request: accepted in one transaction, followed along its job, completed or released."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from sqlalchemy import and_, not_, select
from sqlalchemy.orm import Session

from app.audit_log import references
from app.audit_log import service as audit_log
from app.catalogue.unions import METHODS
from app.core.errors import Conflict, NotFound, invalid_field
from app.core.ids import new_id
from app.core.params import Kind, MethodParams, Need
from app.datasets import service as datasets
from app.domain.deadlines import due_at
from app.domain.lifecycle import REQUEST_ARROWS, JobKind, JobStatus, RequestStatus, check_arrow, is_final
from app.domain.policy import ModelPolicy, policy_of
from app.domain.report import Rung
from app.forget_requests import audits, releases, targets, tombstones
from app.forget_requests.actions import next_actions
from app.forget_requests.planning import base_of, budget_spent, check, documents, enlist, ready, stock_of
from app.forget_requests.policy import Stock, choose
from app.forget_requests.queries import batch, excluded_positions, forgotten_classes, positions_by_request
from app.forget_requests.releases import gate
from app.forget_requests.schemas import AuditIn, ForgetRequestIn, ForgetRequestOut, Wish
from app.jobs import service as jobs
from app.jobs.queries import locked
from app.models import policy as policies
from app.models import service as models
from app.tables import Dataset, ForgetRequest, Job, Model, ModelVersion
from app.tables.base import utcnow
from app.web.pages import Page, Paging, fetch

__all__ = [
    "batch",
    "budget_spent",
    "cancel",
    "check",
    "complete",
    "describe",
    "excluded_positions",
    "follow",
    "forgotten_classes",
    "gate",
    "get",
    "listing",
    "pairs_of",
    "positions_by_request",
    "reach",
    "ready",
    "settle_method",
    "stock_of",
    "subject_of",
    "submit",
    "transition",
]

CHANGES_WEIGHTS = {str(method.model_fields["name"].default): method.changes_weights for method in METHODS}
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_STATUS_OF: Mapping[JobStatus, RequestStatus] = {
    JobStatus.QUEUED: RequestStatus.QUEUED,
    JobStatus.RUNNING: RequestStatus.RUNNING,
    JobStatus.FAILED: RequestStatus.FAILED,
    JobStatus.LOST: RequestStatus.FAILED,
    JobStatus.CANCELLING: RequestStatus.CANCELLING,
    JobStatus.CANCELLED: RequestStatus.CANCELLED,
}
"""What a request is while its job is so. A job that succeeded is not here: `complete` says what came of it."""

_BEING_CANCELLED = {RequestStatus.CANCELLING, RequestStatus.CANCELLED}
_FINAL = [status for status in RequestStatus if is_final(status)]


def submit(
    session: Session, wish: ForgetRequestIn, *, tenant_id: str, actor: str, parent_id: str | None = None
) -> ForgetRequest:
    """Accept a request: check all that is cheap now, take its samples, queue its job or await its approval."""
    received_at = received_at_of(wish)
    model, version, dataset = subject_of(session, wish, tenant_id)
    targets.check_transforms(wish.target, dataset, models.seen_by(model, dataset))
    asked_for = targets.resolve(wish.target, dataset)
    pairs = pairs_of(session, wish, dataset, asked_for, tenant_id)
    kind = Kind(wish.target.kind)
    wanted = wish.method if isinstance(wish.method, MethodParams) else None
    choice = choose(wanted, kind, _in_time(stock_of(session, wish.target, model, version, dataset)))
    policy = policies.get(model)
    _check_policy(wish.audit, policy)
    audits.check(session, wish.audit, kind, model, dataset, [version], of_request=True)
    free, covered = tombstones.not_yet_claimed(session, version, dataset.id, asked_for, kind)
    _check_something_stays(session, model, dataset, free, kind)
    request = ForgetRequest(
        id=new_id("fr"),
        tenant_id=tenant_id,
        model_id=model.id,
        dataset_id=dataset.id,
        base_version_id=version.id,
        alias=None if wish.version else wish.alias,
        kind=kind.value,
        target=targets.stored(wish.target, dataset, pairs).model_dump(mode="json"),
        **documents(choice),
        audit=wish.audit.model_dump(mode="json"),
        policy=policy.model_dump(mode="json"),
        submitted_by=actor,
        decisions=[],
        seed=wish.seed,
        sample_count=len(free),
        already_forgotten=_listed(covered),
        external_id=wish.external_id,
        parent_id=parent_id,
        received_at=received_at,
        due_at=due_at(received_at),
        status=RequestStatus.RECEIVED,
        transitions=[],
    )
    _begin(session, request, free, targets.subjects_of(wish.target), actor)
    return request


def _begin(
    session: Session, request: ForgetRequest, positions: Sequence[int], subject_ids: Sequence[str], actor: str
) -> None:
    """The first two states at once: each in the request's transitions and in the audit log, one statement for both."""
    _note(request)
    received = request.status
    if policy_of(request.policy).approval == "none":
        # Before the audit log is written to: it locks a job.
        enlist(session, request, actor=actor, wait=request.parent_id is None)
        status, reason = RequestStatus.QUEUED, None
    else:
        status, reason = RequestStatus.AWAITING_APPROVAL, "approval_required"
    check_arrow(received, status)
    request.status, request.status_reason = status, reason
    _note(request)
    session.add(request)
    session.flush()
    tombstones.claim(session, request, positions)
    of_subjects = references.refer(session, request, subject_ids) if subject_ids else {}
    entries = [_entry(request, received, None, of_subjects), _entry(request, status, reason)]
    audit_log.record_all(session, tenant_id=request.tenant_id, actor=actor, entries=entries)


def pairs_of(
    session: Session, wish: Wish, dataset: Dataset, positions: Sequence[int], tenant_id: str
) -> Dataset | None:
    """The data set of clean counterparts, where the target names one."""
    name = getattr(wish.target, "pairs", None)
    if name is None:
        return None
    pairs = datasets.ready(session, name, tenant_id=tenant_id, pointer="/target/pairs")
    targets.check_pairs(pairs, dataset, positions)
    return pairs


def get(session: Session, request_id: str, *, tenant_id: str) -> ForgetRequest:
    """One request of the tenant."""
    request = session.scalar(
        select(ForgetRequest).where(ForgetRequest.id == request_id, ForgetRequest.tenant_id == tenant_id)
    )
    if request is None:
        raise NotFound("There is no such forget request.", code="no_such_forget_request")
    return request


def listing(
    session: Session,
    paging: Paging,
    *,
    tenant_id: str,
    status: RequestStatus | None = None,
    model: str | None = None,
    overdue: bool | None = None,
    due_before: datetime | None = None,
    job: str | None = None,
    parent: str | None = None,
) -> Page[ForgetRequestOut]:
    """The tenant's requests; only of one status, one model, overdue or not, due before a moment, and so on."""
    statement = select(ForgetRequest).where(ForgetRequest.tenant_id == tenant_id)
    if status is not None:
        statement = statement.where(ForgetRequest.status == status)
    if model is not None:
        found = models.find(session, model, tenant_id=tenant_id)
        statement = statement.where(ForgetRequest.model_id == (found.id if found else ""))
    if overdue is not None:
        late = and_(ForgetRequest.status.not_in(_FINAL), ForgetRequest.due_at < utcnow())
        statement = statement.where(late if overdue else not_(late))
    if due_before is not None:
        statement = statement.where(ForgetRequest.due_at < due_before)
    if job is not None:
        statement = statement.where(ForgetRequest.job_id == job)
    if parent is not None:
        statement = statement.where(ForgetRequest.parent_id == parent)
    return fetch(session, statement, ForgetRequest.id, paging, describe)


def describe(request: ForgetRequest) -> ForgetRequestOut:
    """A request as the wire has it."""
    computed = {"overdue", "final", "policy", "next_actions"}
    facts = {name: getattr(request, name) for name in ForgetRequestOut.model_fields if name not in computed}
    final = is_final(request.status)
    return ForgetRequestOut(
        **facts,
        final=final,
        overdue=not final and utcnow() > request.due_at,
        policy=policy_of(request.policy),
        next_actions=next_actions(request),
    )


def cancel(session: Session, request: ForgetRequest, *, actor: str) -> ForgetRequest:
    """Have it not done, if there is still time. A second call changes nothing.

    Of several requests that wait for one job, only this one leaves it; the last one takes the job along.

    Raises:
        Conflict: it is over, or its job has begun to carry it out together with others.
    """
    if request.status in _BEING_CANCELLED:
        return request
    if is_final(request.status):
        message = f"The request is over: {request.status}. Nothing is left to cancel."
        raise Conflict(message, code="already_final", state=request.status.value)
    # The job is locked first and the request after it, as by the worker: neither waits for the other for ever.
    job = locked(session, request.job_id or "")
    together = batch(session, request.job_id or "")
    if job is None or together == [request]:
        follow(session, jobs.cancel(session, session.get_one(Job, request.job_id), actor=actor), actor=actor)
    elif request not in together:
        raise Conflict(f"The request is over: {request.status}.", code="already_final", state=request.status.value)
    elif job.fence:
        raise Conflict(
            f"Its job has begun to carry out {len(together)} requests as one, and what it makes cannot be had without"
            " this one's samples. Wait for the result, which nobody has to deploy, or cancel the job with all of them.",
            code="shared_job_has_begun",
            job=job.id,
            requests=len(together),
        )
    else:
        transition(session, request, RequestStatus.CANCELLED, reason="cancelled", actor=actor)
    return request


# What the worker reports.


def follow(session: Session, job: Job, *, actor: str = "worker") -> None:
    """Let what the job is about go where the job went: a request along with it, a validation to its end."""
    if job.kind is JobKind.UNLEARNING:
        _follow(session, job, actor)
    elif job.kind is JobKind.DATASET_VALIDATION:
        datasets.follow(session, job, actor=actor)
    elif job.kind is JobKind.VERSION_VALIDATION:
        models.follow(session, job, actor=actor)


def _follow(session: Session, job: Job, actor: str) -> None:
    status = _STATUS_OF.get(job.status)
    if status is None:
        return
    for source, requests in _by_status(batch(session, job.id)).items():
        for step in _way(source, status):
            reason, detail = (job.status_reason, job.status_detail) if step is status else (None, None)
            transition_all(session, requests, step, reason=reason, detail=detail, actor=actor)


def _by_status(requests: Iterable[ForgetRequest]) -> dict[RequestStatus, list[ForgetRequest]]:
    found = dict[RequestStatus, list[ForgetRequest]]()
    for request in requests:
        found.setdefault(request.status, []).append(request)
    return found


def settle_method(requests: Iterable[ForgetRequest], rungs: Sequence[Rung]) -> None:
    """Of a ladder: the method is the one whose result is published, the reason what became of all that were tried."""
    published = next((rung.method for rung in rungs if rung.published), None)
    tried = "; ".join(f"{rung.method['name']} ({rung.verdict or 'failed'}: {rung.left})" for rung in rungs)
    for request in requests:
        if len(request.ladder) > 1 and published is not None:
            request.method, request.method_reason = published, tried


def reach(session: Session, requests: Sequence[ForgetRequest], status: RequestStatus) -> None:
    """Say how far the requests of a job are."""
    for source, some in _by_status(requests).items():
        if source is not status:
            transition_all(session, some, status)


def complete(session: Session, requests: Sequence[ForgetRequest], *, version_id: str, reports: Sequence[str]) -> None:
    """They are forgotten and audited, each with its report.

    They are completed, or, where the policy holds the new version, wait for its release.
    """
    for request, report_id in zip(requests, reports, strict=True):
        request.result_version_id, request.audit_report_id = version_id, report_id
    wait = releases.waits_for(session, requests[0])  # one version, one verdict, one policy: the same for all
    if wait is None:
        releases.deploy(session, requests[0], actor="worker")
    target = RequestStatus.COMPLETED if wait is None else RequestStatus.AWAITING_RELEASE
    for source, some in _by_status(requests).items():
        for step in _way(source, target):
            reason, detail = wait if wait is not None and step is target else (None, None)
            transition_all(session, some, step, reason=reason, detail=detail)


def transition(
    session: Session,
    request: ForgetRequest,
    status: RequestStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
) -> None:
    """Along one arrow of the life cycle, written down."""
    transition_all(session, [request], status, reason=reason, detail=detail, actor=actor)


def transition_all(
    session: Session,
    requests: Sequence[ForgetRequest],
    status: RequestStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
) -> None:
    """Requests that are in one state, along one arrow: a thousand cost a few statements.

    Their samples are forgotten, or given back: by a request that comes to nothing, and by one whose method left the
    weights as they were.
    """
    for request in requests:
        check_arrow(request.status, status)
        request.status, request.status_reason, request.status_detail = status, reason, detail
    _write_down(session, requests, actor)
    if status is RequestStatus.COMPLETED:
        tombstones.seal(session, [r for r in requests if CHANGES_WEIGHTS[r.method["name"]]])
        tombstones.release(session, [r for r in requests if not CHANGES_WEIGHTS[r.method["name"]]])
    elif status in tombstones.COME_TO_NOTHING:
        tombstones.release(session, requests)


def _way(source: RequestStatus, target: RequestStatus) -> list[RequestStatus]:
    """The shortest way along the arrows: a report that skipped a state is caught up with. Empty if it is there."""
    off_the_road = set() if target in _BEING_CANCELLED else _BEING_CANCELLED
    order = sorted(RequestStatus, key=lambda status: status not in _BEING_CANCELLED)  # of two ways, the straight one
    ways = deque([(source, list[RequestStatus]())])
    seen = {source} | off_the_road
    while ways:
        here, way = ways.popleft()
        if here is target:
            return way
        for step in order:
            if step in REQUEST_ARROWS[here] and step not in seen:
                seen.add(step)
                ways.append((step, [*way, step]))
    check_arrow(source, target)  # raises: there is no way
    return []


def _write_down(session: Session, requests: Sequence[ForgetRequest], actor: str) -> None:
    for request in requests:
        _note(request)
    session.flush()
    for tenant_id in {request.tenant_id for request in requests}:
        entries = [_entry(r, r.status, r.status_reason) for r in requests if r.tenant_id == tenant_id]
        audit_log.record_all(session, tenant_id=tenant_id, actor=actor, entries=entries)


def _note(request: ForgetRequest) -> None:
    step = {"status": request.status.value, "at": utcnow().isoformat(), "reason": request.status_reason}
    request.transitions = [*request.transitions, step]


def _entry(
    request: ForgetRequest,
    status: RequestStatus,
    reason: str | None,
    more: Mapping[str, object] = MappingProxyType({}),
) -> tuple[str, str, dict[str, object]]:
    return f"forget_request.{status.value}", request.id, {"reason": reason, **more}


def received_at_of(wish: ForgetRequestIn) -> datetime:
    """When the person asked."""
    if wish.received_at is None:
        return utcnow()
    if not _EARLIEST <= wish.received_at <= utcnow() + timedelta(days=1):
        raise invalid_field(
            "/received_at", "It lies before the year 2000, or more than a day in the future.", code="time_out_of_range"
        )
    return wish.received_at.astimezone(UTC)


def subject_of(session: Session, wish: Wish, tenant_id: str) -> tuple[Model, ModelVersion, Dataset]:
    """The model, its version that shall forget, and the data set that it was trained on."""
    model = models.find(session, wish.model, tenant_id=tenant_id) if wish.model is not None else None
    if model is None:
        raise invalid_field("/model", "There is no such model.", code="unknown_model")
    pointer, version_id = _version_id(session, wish, model)
    version = models.ready_version(session, model, version_id, pointer=pointer, role="candidate")
    dataset = datasets.ready(session, wish.target.dataset, tenant_id=tenant_id, pointer="/target/dataset")
    if dataset.id != model.dataset_id:
        raise invalid_field("/target/dataset", "The model was not trained on this data set.", code="wrong_dataset")
    return model, version, dataset


def _version_id(session: Session, wish: Wish, model: Model) -> tuple[str, str]:
    if wish.version is not None:
        return "/version", wish.version
    version_id = base_of(session, model, wish.alias)
    if version_id is None:
        raise invalid_field("/alias", "The model has no such alias; create it or name a version.", code="unknown_alias")
    return "/alias", version_id


def _check_policy(audit: AuditIn, policy: ModelPolicy) -> None:
    if policy.needs_gold and audit.gold == "none":
        message = "The model's policy needs gold models: `retrain`, or `registered` with gold_versions."
        raise invalid_field("/audit/gold", message, code="policy_needs_gold")


def _in_time(stock: Stock) -> Stock:
    """As it will be when the job's turn comes: it waits for a Fisher diagonal that is being computed."""
    return replace(stock, has=stock.has | {Need.FISHER}, fisher_pending=False) if stock.fisher_pending else stock


def _check_something_stays(session: Session, model: Model, dataset: Dataset, free: list[int], kind: Kind) -> None:
    trained = sum((dataset.counts or {}).get("train", {}).values())
    whole = tombstones.scope_of(kind) == tombstones.SAMPLE
    if whole and not tombstones.something_stays(session, model.id, dataset.id, free, trained):
        raise invalid_field("/target", "No training sample would stay; delete the model instead.", code="nothing_stays")


def _listed(covered: Counter[str]) -> list[dict[str, object]]:
    return [{"forget_request": owner, "samples": count} for owner, count in sorted(covered.items())]
