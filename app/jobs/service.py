"""The life of a job. Every change of its status is made here, whoever asks for it: a caller, a worker, the reaper.

The database is the queue of record (docs/architecture.md, "Jobs that survive"). A claim gives a worker a lease, which
it must renew, and a fence, which grows with every claim: whoever holds an older one may not publish anything.
Every function locks the job's row before it looks; the caller owns the transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind, JobStatus, check_arrow, is_final
from app.jobs import queries
from app.jobs.schemas import JobActionOut, JobEventOut, JobEventPage, JobOut
from app.outbox import service as outbox
from app.tables import Job, JobEvent
from app.web.pages import Page, Paging, fetch

UNCLAIMED_AFTER = timedelta(seconds=30)
MOST_EXCUSED = 100
"""Starts of a job that others may end without their counting; a disk that stays full ends a job at last."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=5)
"""Before what is in the way of a job (a full disk, a database that is away) is looked at again; doubled every time."""

QUEUE_PAUSED, TIME_LIMIT, OUT_OF_MEMORY, WORKER_STOPPED = (
    "queue_paused",
    "time_limit",
    "out_of_memory",
    "worker_stopped",
)
"""Reasons that something follows from."""

Standing = Literal["held", "cancelling", "lost"]
"""How an attempt stands: go on; stop, somebody asked; stop at once, the job is no longer yours."""


class FenceLost(Exception):
    """This attempt may not publish: the job was given to another one, was cancelled, or is over."""


# What a caller may ask.


def enqueue(
    session: Session,
    *,
    tenant_id: str,
    kind: JobKind,
    subject_id: str,
    actor: str,
    exclusive_model_id: str | None = None,
    shards: int = 1,
) -> Job:
    """A new job, announced to the workers once the transaction has committed.

    Args:
        session: the caller's.
        tenant_id: whose it is.
        kind: what is to be done.
        subject_id: to what.
        actor: who asks.
        exclusive_model_id: the model that only one job may work on.
        shards: with more than one, so many further jobs share the work, and this one waits for what they leave.
    """
    facts: dict[str, Any] = {"tenant_id": tenant_id, "kind": kind, "subject_id": subject_id}
    facts["status_reason"] = QUEUE_PAUSED if queries.is_paused(session, exclusive_model_id) else None
    if shards == 1:
        return _add(session, actor, **facts, exclusive_model_id=exclusive_model_id)
    whole = _add(session, actor, **facts, exclusive_model_id=exclusive_model_id, shards=shards)
    for number in range(1, shards + 1):
        _add(session, actor, **facts, whole_id=whole.id, shard=number, shards=shards)
    return whole


def _add(session: Session, actor: str, **facts: Any) -> Job:
    job = Job(
        **facts,
        id=new_id("job"),
        status=JobStatus.QUEUED,
        transitions=[],
        attempt=0,
        excused=0,
        fence=0,
        max_attempts=get_settings().max_attempts,
        created_at=now(session),
    )
    session.add(job)
    session.flush()
    _write_down(session, job, job.created_at, actor)
    outbox.publish(session, job)
    return job


def cancel(session: Session, job: Job, *, actor: str = "worker") -> Job:
    """Have it not done: a queued job is cancelled at once, a running one is told to stop and publishes nothing more.

    Raises:
        Conflict: it is over already.
    """
    job = _existing(session, job.id)
    if is_final(job.status):
        raise Conflict(f"The job is over: {job.status}. Nothing is left to cancel.", code="already_final")
    if job.status is JobStatus.QUEUED:
        transition(session, job, JobStatus.CANCELLED, reason="cancelled", actor=actor)
    elif job.status is JobStatus.RUNNING:
        transition(session, job, JobStatus.CANCELLING, reason="cancelled", actor=actor)
    return job


def pause_queue(session: Session, model_id: str) -> None:
    """The model's queued jobs wait, and say so; called in the transaction that marks the model."""
    waiting = update(Job).where(Job.exclusive_model_id == model_id, Job.status == JobStatus.QUEUED)
    session.execute(waiting.values(status_reason=QUEUE_PAUSED))


def resume_queue(session: Session, model_id: str) -> None:
    """They wait no longer; called in the transaction that unmarks the model."""
    waiting = update(Job).where(Job.exclusive_model_id == model_id, Job.status == JobStatus.QUEUED)
    session.execute(waiting.where(Job.status_reason == QUEUE_PAUSED).values(status_reason=None))
    _announce_next(session, model_id)


def get(session: Session, job_id: str, *, tenant_id: str) -> Job:
    """One job.

    Raises:
        NotFound: not there, or another tenant's.
    """
    job = session.get(Job, job_id)
    if job is None or job.tenant_id != tenant_id:
        raise NotFound("No such job.", code="job_not_found")
    return job


def listing(
    session: Session,
    paging: Paging,
    *,
    tenant_id: str,
    status: JobStatus | None = None,
    kind: JobKind | None = None,
) -> Page[JobOut]:
    """The tenant's jobs."""
    query = select(Job).where(Job.tenant_id == tenant_id)
    if status is not None:
        query = query.where(Job.status == status)
    if kind is not None:
        query = query.where(Job.kind == kind)
    return fetch(session, query, Job.id, paging, describe)


def describe(job: Job) -> JobOut:
    """A job as the wire has it."""
    computed = {"final", "next_actions"}
    facts = {name: getattr(job, name) for name in JobOut.model_fields if name not in computed}
    return JobOut(**facts, final=is_final(job.status), next_actions=_next_actions(job))


def _next_actions(job: Job) -> list[JobActionOut]:
    actions = []
    if job.status in {JobStatus.QUEUED, JobStatus.RUNNING}:
        actions.append(JobActionOut(action="cancel", method="POST", href=f"/jobs/{job.id}/cancel"))
    if job.status is JobStatus.QUEUED and job.status_reason == QUEUE_PAUSED:
        href = f"/models/{job.exclusive_model_id}/queue/resume"
        actions.append(JobActionOut(action="resume_queue", method="POST", href=href))
    return actions


def event_page(session: Session, job_id: str, *, limit: int, after: int) -> JobEventPage:
    """One page of what happened in a job."""
    rows = events_after(session, job_id, limit=limit + 1, after=after)
    shown = [JobEventOut.model_validate(row) for row in rows[:limit]]
    return JobEventPage(data=shown, has_more=len(rows) > limit, next_cursor=str(shown[-1].sequence if shown else after))


def events_after(session: Session, job_id: str, *, limit: int, after: int = 0) -> Sequence[JobEvent]:
    """What happened in a job after the event of that number, in order."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.sequence > after)
    return session.scalars(query.order_by(JobEvent.sequence).limit(limit)).all()


# What a worker does.


def claim(session: Session, job_id: str, *, owner: str) -> Job | None:
    """Take a job: it is queued, or its worker's lease has expired; and it is its turn on its model.

    Returns:
        The job with a new fence and lease; None if it is not to be had.
    """
    job = queries.locked(session, job_id)
    at = now(session)
    if job is None or not _claimable(job, at) or not queries.has_its_turn(session, job):
        return None
    reason = None if job.status is JobStatus.QUEUED else "lease_expired"
    try:
        with session.begin_nested():
            job.attempt += 1
            job.fence += 1
            job.owner = owner
            job.not_before = None
            transition(session, job, JobStatus.RUNNING, reason=reason)
            job.lease_until = at + _lease()
    except IntegrityError:  # uq_jobs_active_model: another job of this model was claimed since we looked
        return None
    return job


def standing(session: Session, job_id: str, fence: int) -> Standing:
    """How the attempt stands. Only looks."""
    row = session.execute(select(Job.status, Job.fence).where(Job.id == job_id)).one_or_none()
    return "lost" if row is None else _standing(row.status, row.fence, fence)


def renew(session: Session, job_id: str, fence: int) -> Standing:
    """Extend the lease, unless the job was given to another attempt or is over."""
    job = queries.locked(session, job_id)
    if job is None or (stands := _standing(job.status, job.fence, fence)) == "lost":
        return "lost"
    job.lease_until = now(session) + _lease()
    return stands


def record(session: Session, job_id: str, fence: int, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write down what an attempt reports: (type, data), the type being `progress`, `note`, `log` or `attempt`.

    The last words of an attempt may come when the job is over: they are taken as long as no other attempt has begun.

    Raises:
        FenceLost: another attempt has the job.
    """
    job = queries.locked(session, job_id)
    if job is None or job.fence != fence:
        raise FenceLost(f"{job_id} is no longer held by fence {fence}")
    at, sequence = now(session), queries.last_sequence(session, job_id)
    for number, (type_, data) in enumerate(events, sequence + 1):
        if type_ == "progress":
            job.progress = dict(data)
        session.add(_event(job, number, at, type_, data))
    session.flush()


def fenced(session: Session, job_id: str, fence: int) -> Job:
    """The job, locked: until the transaction ends its attempt may publish, and nobody can take the job away.

    Raises:
        FenceLost: another attempt has it, somebody cancelled it, or it is over.
    """
    job = queries.locked(session, job_id)
    if job is None or _standing(job.status, job.fence, fence) != "held":
        raise FenceLost(f"{job_id} is no longer held by fence {fence}")
    return job


def hand_in(session: Session, job_id: str, sha256: str) -> None:
    """What a shard leaves for the whole is in its place; called in the transaction in which it succeeds."""
    session.get_one(Job, job_id).shard_sha256 = sha256


def succeed(session: Session, job: Job) -> None:
    """It is done; called in the transaction that publishes the result."""
    transition(session, job, JobStatus.SUCCEEDED)


def fail(session: Session, job: Job, code: str, detail: str) -> None:
    """It cannot be done, and trying again would not help."""
    transition(session, job, JobStatus.FAILED, reason=code, detail=detail)


def time_out(session: Session, job_id: str, fence: int, detail: str) -> None:
    """It has worked for too long: told to stop as if it were cancelled, and failed once it has."""
    job = queries.locked(session, job_id)
    if job is not None and _standing(job.status, job.fence, fence) == "held":
        transition(session, job, JobStatus.CANCELLING, reason=TIME_LIMIT, detail=detail)


def give_back(
    session: Session, job_id: str, fence: int, reason: str, detail: str | None = None, *, excused: bool = False
) -> Job | None:
    """An attempt ended without a result: queued again, or lost after the last attempt; cancelled if that was asked.

    Args:
        session: the caller's.
        job_id: which job.
        fence: of the attempt.
        reason: why it ended. What ran out of memory twice has failed: a third attempt would not fare better.
        detail: the same in a sentence.
        excused: it was none of the job's doing; the start does not count, if there were not too many of the kind, and
            unless its worker was stopped the next one waits a while, each time longer.

    Returns:
        The job; None if the attempt did not hold it any more.
    """
    job = queries.locked(session, job_id)
    if job is None or (stands := _standing(job.status, job.fence, fence)) == "lost":
        return None
    if excused and job.excused < MOST_EXCUSED:
        if reason != WORKER_STOPPED:
            job.not_before = now(session) + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(job.excused, 10))
        job.excused += 1
    if stands == "cancelling" and job.status_reason == TIME_LIMIT:
        transition(session, job, JobStatus.FAILED, reason=TIME_LIMIT, detail=job.status_detail)
    elif stands == "cancelling":
        transition(session, job, JobStatus.CANCELLED, reason="cancelled")
    elif reason == OUT_OF_MEMORY and times_out_of_memory(job):
        transition(session, job, JobStatus.FAILED, reason=reason, detail=detail)
    elif job.attempt - job.excused < job.max_attempts:
        transition(session, job, JobStatus.QUEUED, reason=reason, detail=detail)
        if queries.is_paused(session, job.exclusive_model_id):
            job.status_reason = QUEUE_PAUSED
        outbox.publish(session, job)
    else:
        transition(session, job, JobStatus.LOST, reason=reason, detail=detail)
    return job


def times_out_of_memory(job: Job) -> int:
    """How many of its attempts ran out of memory."""
    return sum(entry["reason"] == OUT_OF_MEMORY for entry in job.transitions)


def anything_to_reap(session: Session) -> bool:
    """Whether `reap` would find something to do. Only looks."""
    at = now(session)
    return queries.anything_to_reap(session, at, at - UNCLAIMED_AFTER)


def reap(session: Session, dead: Sequence[str] = ()) -> list[Job]:
    """Take back what vanished workers held, stop what nobody needs, announce again what nobody has picked up.

    Args:
        session: the caller's.
        dead: owners of whom more is known than that they were not heard of.

    Returns:
        The jobs whose status changed, for whoever must follow.
    """
    at = now(session)
    died, expired, unneeded = (queries.held_by(session, dead), queries.expired(session, at), queries.unneeded(session))
    queries.lock_wholes(session, [*died, *expired, *unneeded])  # before the first entry of the audit log, as ever
    changed = [give_back(session, job.id, job.fence, "worker_died", "The worker's process is gone.") for job in died]
    detail = "The worker was not heard of for too long."
    changed += [give_back(session, job.id, job.fence, "lease_expired", detail) for job in expired]
    changed += [cancel(session, job) for job in unneeded if not is_final(job.status)]
    for job in queries.unclaimed(session, at - UNCLAIMED_AFTER):
        outbox.publish(session, job)
    return [job for job in changed if job is not None]


def transition(
    session: Session,
    job: Job,
    status: JobStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
) -> None:
    """The only writer of `job.status`. The caller has locked the row.

    Raises:
        ForbiddenArrow: the life cycle has no such arrow; a programming error.
    """
    check_arrow(job.status, status)
    # Before the audit log locks the tenant: of two shards that end at once, the second sees the first.
    whole = queries.locked(session, job.whole_id) if job.whole_id and is_final(status) else None
    at = now(session)
    if job.status in queries.ACTIVE and status is not JobStatus.CANCELLING:
        job.seconds = (job.seconds or 0) + _worked(job, at)
        job.lease_until = None
    job.status, job.status_reason, job.status_detail = status, reason, detail
    if status is JobStatus.RUNNING:
        job.started_at = at
    if is_final(status):
        job.finished_at = at
    session.flush()  # breaks on uq_jobs_active_model before anything is written about it
    _write_down(session, job, at, actor)
    if is_final(status) and job.exclusive_model_id:
        _announce_next(session, job.exclusive_model_id)
    if is_final(status):
        for waiting in queries.awaiting(session, job.id):
            outbox.publish(session, waiting)
    if whole is not None and not is_final(whole.status):
        _shard_is_over(session, whole, job, actor)
    if is_final(status):
        for shard in queries.unneeded(session, job.id):  # one whose row is locked just now is left to the reaper
            cancel(session, shard, actor=actor)


def _announce_next(session: Session, model_id: str) -> None:
    successor = queries.next_of_model(session, model_id)
    if successor is not None:
        outbox.publish(session, successor)


def _worked(job: Job, at: datetime) -> float:
    """Seconds of the attempt that ends at that time; of a vanished worker's, until it was last heard of."""
    expired = job.lease_until is not None and job.lease_until < at
    end = job.lease_until - _lease() if expired and job.lease_until else at
    return max(0.0, (end - (job.started_at or at)).total_seconds())


def _shard_is_over(session: Session, whole: Job, shard: Job, actor: str) -> None:
    if shard.status is not JobStatus.SUCCEEDED:
        detail = f"Shard {shard.shard} of {shard.shards}, {shard.id}: {shard.status_detail or shard.status_reason}"
        transition(session, whole, JobStatus.CANCELLED, reason=f"shard_{shard.status}", detail=detail, actor=actor)
        return
    done = queries.shards_done(session, whole.id)
    whole.progress = {"phase": "shards", "completed": done, "total": whole.shards, "unit": "shards", "message": None}
    number = queries.last_sequence(session, whole.id) + 1
    session.add(_event(whole, number, now(session), "progress", whole.progress))
    if done == whole.shards:
        outbox.publish(session, whole)


def _write_down(session: Session, job: Job, at: datetime, actor: str) -> None:
    entry: dict[str, Any] = {
        "status": job.status.value,
        "at": at.isoformat(),
        "reason": job.status_reason,
        "attempt": job.attempt,
    }
    job.transitions = [*job.transitions, entry]
    told = {**entry, "detail": job.status_detail, "final": is_final(job.status)}
    session.add(_event(job, queries.last_sequence(session, job.id) + 1, at, "status", told))
    audit_log.record(
        session,
        tenant_id=job.tenant_id,
        actor=actor,
        action=f"job.{job.status}",
        resource=job.id,
        data={"kind": job.kind.value, "subject": job.subject_id, "attempt": job.attempt, "reason": job.status_reason},
    )


def _event(job: Job, sequence: int, at: datetime, type_: str, data: Mapping[str, Any]) -> JobEvent:
    return JobEvent(
        id=new_id("je"), tenant_id=job.tenant_id, job_id=job.id, sequence=sequence, at=at, type=type_, data=dict(data)
    )


def _existing(session: Session, job_id: str) -> Job:
    job = queries.locked(session, job_id)
    if job is None:
        raise NotFound("No such job.", code="job_not_found")
    return job


def _claimable(job: Job, at: datetime) -> bool:
    expired = job.status is JobStatus.RUNNING and job.lease_until is not None and job.lease_until < at
    return (job.status is JobStatus.QUEUED or expired) and job.attempt - job.excused < job.max_attempts


def _standing(status: JobStatus, newest: int, fence: int) -> Standing:
    if newest != fence or status not in queries.ACTIVE:
        return "lost"
    return "cancelling" if status is JobStatus.CANCELLING else "held"


def _lease() -> timedelta:
    return timedelta(seconds=get_settings().lease_seconds)
