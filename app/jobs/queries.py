"""The questions about jobs that are longer than three lines."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, exists, func, not_, or_, select
from sqlalchemy.orm import Session, aliased

from app.domain.lifecycle import JobStatus, is_final
from app.tables import Job, JobEvent, Model, OutboxMessage
from app.tables.base import utcnow

IDS_IN_A_QUERY = 1000
ACTIVE = (JobStatus.RUNNING, JobStatus.CANCELLING)
OVER = tuple(status for status in JobStatus if is_final(status))


def locked(session: Session, job_id: str) -> Job | None:
    """The job as it stands now, locked until the transaction ends."""
    query = select(Job).where(Job.id == job_id).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def its_turn() -> ColumnElement[bool]:
    """Its model's queue is open and nobody works on it, no older job waits for it, and what it waits for has come.

    That is: its shards have succeeded, the job that it awaits is over, and so is the time that it was to wait.
    """
    other, shard, awaited = aliased(Job), aliased(Job), aliased(Job)
    before = or_(other.status.in_(ACTIVE), and_(other.status == JobStatus.QUEUED, other.id < Job.id))
    taken = exists().where(other.exclusive_model_id == Job.exclusive_model_id, other.id != Job.id, before)
    missing = exists().where(shard.whole_id == Job.id, shard.status != JobStatus.SUCCEEDED)
    pending = exists().where(awaited.id == Job.awaits_id, awaited.status.not_in(OVER))
    closed = exists().where(Model.id == Job.exclusive_model_id, Model.queue_paused_at.is_not(None))
    others = [not_(one.correlate(Job)) for one in (taken, missing, pending, closed)]
    ripe = or_(Job.not_before.is_(None), Job.not_before <= utcnow())
    return and_(*others, ripe)


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


def joinable(session: Session, batch_key: str, *, wait: bool = True) -> Job | None:
    """The newest job that requests of this kind may join, locked: it waits, and was never claimed.

    Args:
        session: the caller's.
        batch_key: what the requests have in common.
        wait: for whoever has locked it; not for who holds locks that others take later.
    """
    query = select(Job).where(Job.batch_key == batch_key, Job.status == JobStatus.QUEUED, Job.fence == 0)
    newest = query.order_by(Job.id.desc()).limit(1).with_for_update(skip_locked=not wait)
    return session.scalars(newest.execution_options(populate_existing=True)).one_or_none()


def lock_joinable(session: Session, model_ids: Sequence[str]) -> None:
    """Lock the jobs of these models that requests may still join, in one order."""
    query = select(Job.id).where(Job.exclusive_model_id.in_(model_ids), Job.status == JobStatus.QUEUED, Job.fence == 0)
    session.execute(query.order_by(Job.id).with_for_update())


def lock_in_order(session: Session, job_ids: Sequence[str]) -> None:
    """Lock these jobs, in one order."""
    session.execute(select(Job.id).where(Job.id.in_(job_ids)).order_by(Job.id).with_for_update())


def awaiting(session: Session, job_id: str) -> Sequence[Job]:
    """The jobs that wait for this one."""
    return session.scalars(select(Job).where(Job.awaits_id == job_id, Job.status == JobStatus.QUEUED)).all()


def shards_of(session: Session, whole_id: str) -> Sequence[Job]:
    """The shards of a job, in their order."""
    return session.scalars(select(Job).where(Job.whole_id == whole_id).order_by(Job.shard)).all()


def shards_done(session: Session, whole_id: str) -> int:
    """How many shards of a job have succeeded."""
    done = select(func.count()).where(Job.whole_id == whole_id, Job.status == JobStatus.SUCCEEDED)
    return session.scalar(done) or 0


def lock_wholes(session: Session, shards: Iterable[Job]) -> None:
    """Lock the jobs that these are shards of, always in one order."""
    ids = {shard.whole_id for shard in shards} - {None}
    if ids:
        session.execute(select(Job.id).where(Job.id.in_(ids)).order_by(Job.id).with_for_update())


def unneeded(session: Session, whole_id: str | None = None) -> Sequence[Job]:
    """The shards that wait or run although their whole is over, locked; of one whole, or of all."""
    query = _unneeded() if whole_id is None else _unneeded().where(Job.whole_id == whole_id)
    return _skipping_locked(session, query.order_by(Job.id))


def expired(session: Session, at: datetime) -> Sequence[Job]:
    """The jobs whose worker has not been heard of for too long, locked."""
    return _skipping_locked(session, _expired(at).order_by(Job.id))


def owners(session: Session) -> Sequence[str]:
    """Who holds a job."""
    held = select(Job.owner).where(Job.status.in_(ACTIVE), Job.owner.is_not(None)).distinct()
    return [owner for owner in session.scalars(held) if owner]


def held_by(session: Session, owners: Sequence[str]) -> Sequence[Job]:
    """The jobs that these hold, locked."""
    query = select(Job).where(Job.status.in_(ACTIVE), Job.owner.in_(owners)).order_by(Job.id)
    return _skipping_locked(session, query) if owners else []


def is_paused(session: Session, model_id: str | None) -> bool:
    """Whether the queue of that model is."""
    paused = select(Model.id).where(Model.id == model_id, Model.queue_paused_at.is_not(None))
    return model_id is not None and session.scalars(paused).first() is not None


def unclaimed(session: Session, since: datetime) -> Sequence[Job]:
    """The jobs that were announced before `since` and that nobody has picked up, locked."""
    return _skipping_locked(session, _unclaimed(since).order_by(Job.id))


def anything_to_reap(session: Session, at: datetime, since: datetime) -> bool:
    """Whether one of these would find something: so that nobody takes a write lock in vain."""
    looks = (_expired(at), _unneeded(), _unclaimed(since))
    return any(session.scalars(query.limit(1)).first() is not None for query in looks)


def last_sequence(session: Session, job_id: str) -> int:
    """The number of the newest event of a job."""
    return session.scalar(select(func.max(JobEvent.sequence)).where(JobEvent.job_id == job_id)) or 0


def states(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[JobStatus, int]]:
    """Status and number of the newest event of these jobs, as many as there are."""
    newest = select(func.max(JobEvent.sequence)).where(JobEvent.job_id == Job.id).correlate(Job).scalar_subquery()
    found: dict[str, tuple[JobStatus, int]] = {}
    for start in range(0, len(job_ids), IDS_IN_A_QUERY):
        some = job_ids[start : start + IDS_IN_A_QUERY]
        rows = session.execute(select(Job.id, Job.status, newest).where(Job.id.in_(some)))
        found |= {job_id: (status, number or 0) for job_id, status, number in rows}
    return found


def _expired(at: datetime) -> Select[Job]:
    return select(Job).where(Job.status.in_(ACTIVE), Job.lease_until < at)


def _unneeded() -> Select[Job]:
    whole = aliased(Job)
    over = exists().where(whole.id == Job.whole_id, whole.status.in_(OVER))
    return select(Job).where(Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING)), over.correlate(Job))


def _unclaimed(since: datetime) -> Select[Job]:
    in_time = or_(Job.not_before.is_(None), OutboxMessage.created_at >= Job.not_before)
    recently = and_(OutboxMessage.created_at >= since, in_time)
    announced = exists().where(OutboxMessage.job_id == Job.id, or_(OutboxMessage.sent_at.is_(None), recently))
    return select(Job).where(Job.status == JobStatus.QUEUED, not_(announced), its_turn())


def _skipping_locked(session: Session, query: Select[Job]) -> Sequence[Job]:
    free = query.with_for_update(skip_locked=True, of=Job)
    return session.scalars(free.execution_options(populate_existing=True)).all()
