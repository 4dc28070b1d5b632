"""What people decide about a request: approval, rejection, release, extension, withdrawal.

Who decides must have seen what is decided about (If-Match), and is written down, with the reason, in the request and in
the audit log. Of two who decide at once one comes first; the other has then not seen it.
"""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Conflict, Forbidden
from app.domain.deadlines import extended_due_at
from app.domain.lifecycle import RequestStatus
from app.domain.policy import APPROVERS, RELEASERS, policy_of
from app.forget_requests import planning, releases, service
from app.forget_requests.actions import APPROVE, CANCEL, EXTEND, REJECT, RELEASE, Action, check_allowed, extended
from app.forget_requests.schemas import Decision, ReasonIn, ReleaseIn
from app.jobs import queries as jobs
from app.tables import ForgetRequest
from app.tables.base import utcnow
from app.web.etags import check_match, etag_of

REFUSED: Mapping[RequestStatus, str] = {
    RequestStatus.AWAITING_APPROVAL: "approval_refused",
    RequestStatus.AWAITING_RELEASE: "release_refused",
}
"""The reason of a rejection, by what was rejected."""


def approve(session: Session, request: ForgetRequest, *, if_match: str | None, actor: str) -> ForgetRequest:
    """Say that it may be done; with as many such words as the policy asks for, it is queued."""
    request = _seen(session, request, APPROVE, if_match)
    if actor == request.submitted_by:
        message = "The policy asks for another key than the one that submitted the request."
        raise Forbidden(message, code="own_request")
    enough = _others(request, APPROVE, actor) + 1 >= APPROVERS[policy_of(request.policy).approval]
    if enough:
        planning.enlist(session, request, actor=actor)  # before the audit log is written to: it locks a job
    _write_down(session, request, APPROVE, actor)
    if enough:
        service.transition(session, request, RequestStatus.QUEUED, actor=actor)
    return request


def reject(
    session: Session, request: ForgetRequest, wish: ReasonIn, *, if_match: str | None, actor: str
) -> ForgetRequest:
    """Say that it shall not be done, or that what was made shall not be deployed; its samples are free again."""
    request = _seen(session, request, REJECT, if_match)
    _write_down(session, request, REJECT, actor, reason=wish.reason)
    reason = REFUSED[request.status]
    service.transition(session, request, RequestStatus.REJECTED, reason=reason, detail=wish.reason, actor=actor)
    return request


def release(
    session: Session, request: ForgetRequest, wish: ReleaseIn, *, if_match: str | None, actor: str
) -> ForgetRequest:
    """Say that the new version may be deployed; with enough such words, it is."""
    request = _seen(session, request, RELEASE, if_match)
    against = releases.check(session, request, override=wish.override)
    enough = _others(request, RELEASE, actor) + 1 >= RELEASERS[policy_of(request.policy).release]
    _write_down(session, request, RELEASE, actor, reason=wish.reason, override=against)
    if enough:
        releases.deploy(session, request, actor=actor)
        reason = "released_against_policy" if against else "released"
        service.transition(session, request, RequestStatus.COMPLETED, reason=reason, detail=wish.reason, actor=actor)
    return request


def extend(
    session: Session, request: ForgetRequest, wish: ReasonIn, *, if_match: str | None, actor: str
) -> ForgetRequest:
    """Put the deadline off by two further months: once, while it has not passed."""
    request = _seen(session, request, EXTEND, if_match)
    if extended(request):
        raise Conflict("The deadline was extended before; it is once, and no more.", code="already_extended")
    if utcnow() >= request.due_at:
        raise Conflict("The deadline has passed; it is extended before, or not at all.", code="deadline_passed")
    request.due_at = extended_due_at(request.received_at)
    _write_down(session, request, EXTEND, actor, reason=wish.reason)
    return request


def cancel(session: Session, request: ForgetRequest, *, actor: str) -> ForgetRequest:
    """Have it not done: at once while people decide about it, else as its job can be stopped.

    No If-Match: whoever cancels wants it stopped whatever it has come to.
    """
    if request.status not in REFUSED:
        return service.cancel(session, request, actor=actor)
    request = _locked(session, request)
    if request.status not in REFUSED:
        raise Conflict("Somebody decided just now; ask again.", code="changed_meanwhile", retryable=True)
    check_allowed(request, CANCEL)
    service.transition(session, request, RequestStatus.CANCELLED, reason="cancelled", actor=actor)
    return request


def _seen(session: Session, request: ForgetRequest, action: Action, if_match: str | None) -> ForgetRequest:
    """The request as it stands now, locked, if the caller has seen it so and its state allows the action."""
    request = _locked(session, request)
    check_match(if_match, etag_of(service.describe(request)))
    check_allowed(request, action)
    return request


def _locked(session: Session, request: ForgetRequest) -> ForgetRequest:
    # Its job first, as everybody does who moves both: neither waits for the other for ever.
    if request.job_id is not None:
        jobs.locked(session, request.job_id)
    query = select(ForgetRequest).where(ForgetRequest.id == request.id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _write_down(
    session: Session,
    request: ForgetRequest,
    action: Action,
    actor: str,
    *,
    reason: str | None = None,
    override: bool = False,
) -> None:
    """Keep who decided what, when and why."""
    decision = Decision(decision=action.name, by=actor, at=utcnow(), reason=reason, override=override)
    request.decisions = [*request.decisions, decision.model_dump(mode="json")]
    session.flush()
    audit_log.record(
        session,
        tenant_id=request.tenant_id,
        actor=actor,
        action=f"forget_request.{action.name}",
        resource=request.id,
        data={"reason": reason, "override": override, "due_at": request.due_at.isoformat()},
    )


def _others(request: ForgetRequest, action: Action, actor: str) -> int:
    """How many other keys have decided so before.

    Raises:
        Conflict: this one has.
    """
    before = [decision["by"] for decision in request.decisions if decision["decision"] == action.name]
    if actor in before:
        message = "This key has decided so already; the policy asks for another one."
        raise Conflict(message, code="already_decided")
    return len(before)
