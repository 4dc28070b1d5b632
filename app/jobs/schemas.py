"""Jobs on the wire."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.domain.lifecycle import JobKind, JobStatus


class ProgressOut(BaseModel):
    """How far the current phase is."""

    phase: str
    completed: int
    total: int
    unit: str
    message: str | None = None


class JobTransitionOut(BaseModel):
    """One arrow of the life cycle that was taken."""

    status: JobStatus
    at: datetime
    reason: str | None = None
    attempt: int = 0


class JobActionOut(BaseModel):
    """Something the caller may do now."""

    action: str
    method: str
    href: str


class JobOut(BaseModel):
    """A job as it stands."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    kind: JobKind
    subject_id: str
    whole_id: str | None
    """Of a shard: the job that waits for all of them, and puts together what they leave."""
    shard: int | None
    """Of a shard: which one, from 1."""
    shards: int | None
    """How many jobs share the work, where more than one do."""
    status: JobStatus
    status_reason: str | None
    status_detail: str | None
    final: bool
    attempt: int
    """Starts so far."""
    excused: int
    """Starts that do not count: a stopped worker, a full disk, a database that was away."""
    max_attempts: int
    """Starts that may count."""
    not_before: datetime | None
    """Queued again, it waits until then."""
    progress: ProgressOut | None
    transitions: list[JobTransitionOut]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    """Of work, in all attempts that have ended."""
    next_actions: list[JobActionOut]


class JobEventOut(BaseModel):
    """Something that happened in a job."""

    model_config = ConfigDict(from_attributes=True)

    sequence: int
    at: datetime
    type: str
    data: dict[str, Any]


class JobEventPage(BaseModel):
    """Events in order; `next_cursor` goes into `after` of the next call, also when there are none yet."""

    data: list[JobEventOut]
    has_more: bool
    next_cursor: str
