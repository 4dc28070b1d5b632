"""Deadlines that come near: each notice is given once, in the audit log, while there is time to do something."""

from sqlalchemy import exists, not_, select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now
from app.core.ids import new_id
from app.domain.deadlines import windows
from app.domain.lifecycle import RequestStatus, is_final
from app.tables import DeadlineNotice, ForgetRequest

BATCH = 500
OPEN = [status for status in RequestStatus if not is_final(status)]


def notify(session: Session) -> list[DeadlineNotice]:
    """Give the notices that are due, and say which: of a request with five days left, only that of seven days."""
    given = []
    for days, after, until in windows(now(session)):
        told = exists().where(
            DeadlineNotice.forget_request_id == ForgetRequest.id,
            DeadlineNotice.due_at == ForgetRequest.due_at,
            DeadlineNotice.days == days,
        )
        near = select(ForgetRequest).where(
            ForgetRequest.status.in_(OPEN), ForgetRequest.due_at <= until, not_(told.correlate(ForgetRequest))
        )
        near = near if after is None else near.where(ForgetRequest.due_at > after)
        near = near.order_by(ForgetRequest.id).limit(BATCH).with_for_update(skip_locked=True, of=ForgetRequest)
        given += [_notice(session, request, days) for request in session.scalars(near).all()]
    return given


def _notice(session: Session, request: ForgetRequest, days: int) -> DeadlineNotice:
    notice = DeadlineNotice(
        id=new_id("dn"),
        tenant_id=request.tenant_id,
        forget_request_id=request.id,
        due_at=request.due_at,
        days=days,
    )
    session.add(notice)
    session.flush()
    audit_log.record(
        session,
        tenant_id=request.tenant_id,
        actor="scheduler",
        action="forget_request.due_soon",
        resource=request.id,
        data={"days": days, "due_at": request.due_at.isoformat()},
    )
    return notice
