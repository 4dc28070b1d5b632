"""The questions about jobs that are longer than three lines."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from app.domain.lifecycle import JobStatus
from app.tables import Job, JobEvent, OutboxMessage

ACTIVE = (JobStatus.RUNNING, JobStatus.CANCELLING)


def locked(session: Session, job_id: str) -> Job | None:
    """The job as it stands now, locked until the transaction ends."""
    query = select(Job).where(Job.id == job_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def its_turn() -> ColumnElement[bool]:
    """Nobody works on its model, and no older job waits for that model."""
    other = aliased(Job)
    before = or_(other.status.in_(ACTIVE), and_(other.status == JobStatus.QUEUED, other.id < Job.id))
    return not_(
        exists().where(other.exclusive_model_id == Job.exclusive_model_id, other.id != Job.id, before).correlate(Job)
    )


def has_its_turn(session: Session, job: Job) -> bool:
    """Whether this job may run now."""
    return session.scalars(select(Job.id).where(Job.id == job.id, its_turn())).one_or_none() is not None


def waiting(session: Session, limit: int) -> Sequence[str]:
    """The ids of the queued jobs that may run now, oldest first."""
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, its_turn()).order_by(Job.id).limit(limit)
    return session.scalars(query).all()


def next_of_model(session: Session, model_id: str) -> Job | None:
    """The oldest queued job of a model."""
    query = select(Job).where(Job.exclusive_model_id == model_id, Job.status == JobStatus.QUEUED)
    return session.scalars(query.order_by(Job.id).limit(1)).first()


def expired(session: Session, at: datetime) -> Sequence[Job]:
    """The jobs whose worker has not been heard of for too long, locked."""
    query = select(Job).where(Job.status.in_(ACTIVE), Job.lease_until < at).order_by(Job.id)
    return _skipping_locked(session, query)


def unclaimed(session: Session, since: datetime) -> Sequence[Job]:
    """The jobs that were announced before `since` and that nobody has picked up, locked."""
    announced = exists().where(
        OutboxMessage.job_id == Job.id, or_(OutboxMessage.sent_at.is_(None), OutboxMessage.created_at >= since)
    )
    query = select(Job).where(Job.status == JobStatus.QUEUED, not_(announced), its_turn()).order_by(Job.id)
    return _skipping_locked(session, query)


def last_sequence(session: Session, job_id: str) -> int:
    """The number of the newest event of a job."""
    return session.scalar(select(func.max(JobEvent.sequence)).where(JobEvent.job_id == job_id)) or 0


def _skipping_locked(session: Session, query: Select[Job]) -> Sequence[Job]:
    free = query.with_for_update(skip_locked=True, of=Job)
    return session.scalars(free.execution_options(populate_existing=True)).all()
