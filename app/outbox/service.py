"""The outbox: a message is a row of the transaction that wants it sent, so neither exists without the other."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.core.db import now, reading, transaction
from app.core.ids import new_id
from app.outbox.doorbells import Doorbell, DoorbellFailed, doorbell_from_settings
from app.tables import Job, OutboxMessage

BATCH = 100
PUBLISHED = "unlearn_published"

log = logging.getLogger(__name__)


def publish(session: Session, job: Job) -> None:
    """Have the job announced once the transaction has committed. A job has one row, however often it is announced."""
    at = now(session)
    message = session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == job.id).with_for_update()).first()
    if message is None:
        message = OutboxMessage(id=new_id("out"), tenant_id=job.tenant_id, job_id=job.id)
        session.add(message)
    message.created_at, message.sent_at = at if job.not_before is None else max(at, job.not_before), None
    session.flush()
    session.info[PUBLISHED] = True


def has_published(session: Session) -> bool:
    """Whether there is something to relay now, of what this session has done."""
    return PUBLISHED in session.info


def relay(doorbell: Doorbell | None = None, *, older_than: timedelta = timedelta(0)) -> int:
    """Announce what has not been announced; how many jobs that were. Twice is harmless: the claim decides."""
    with reading() as session:
        if session.scalars(select(OutboxMessage.id).where(*_due(now(session) - older_than)).limit(1)).first() is None:
            return 0
    doorbell = doorbell or doorbell_from_settings()
    sent = 0
    while (batch := _relay_batch(doorbell, older_than)) == BATCH:
        sent += batch
    return sent + batch


def _relay_batch(doorbell: Doorbell, older_than: timedelta) -> int:
    with transaction() as session:
        at = now(session)
        messages = session.scalars(
            select(OutboxMessage)
            .where(*_due(at - older_than))
            .order_by(OutboxMessage.created_at, OutboxMessage.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if not messages:
            return 0
        try:
            doorbell.ring([message.job_id for message in messages])
        except DoorbellFailed as error:
            log.warning("%d messages stay in the outbox: %s", len(messages), error)
            return 0
        for message in messages:
            message.sent_at = at
        return len(messages)


def _due(at: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return OutboxMessage.sent_at.is_(None), OutboxMessage.created_at <= at
