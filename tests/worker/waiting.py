"""Jobs to run, and patience until they are done."""

import time
from collections.abc import Callable

from app.core.db import reading, transaction
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service
from app.tables import Job, JobEvent

PATIENCE_SECONDS = 120.0
"""On a machine with other work; only what has failed waits so long."""


def enqueue(story: str) -> Job:
    with transaction() as session:
        return service.enqueue(session, tenant_id="tn_test", kind=JobKind.FISHER, subject_id=story, actor="key_1")


def row(job: Job) -> Job:
    with reading() as session:
        return session.get_one(Job, job.id)


def events(job: Job, type_: str) -> list[JobEvent]:
    with reading() as session:
        return [event for event in service.events_after(session, job.id, limit=1000) if event.type == type_]


def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Seconds until the condition held."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - started


def until_status(job: Job, status: JobStatus, seconds: float = PATIENCE_SECONDS) -> float:
    return until(lambda: row(job).status is status, seconds)
