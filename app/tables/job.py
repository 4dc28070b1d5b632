"""The rows of jobs and their events: the queue of record."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.lifecycle import JobKind, JobStatus
from app.tables.base import Base, EnumText, Owned


class Job(Owned, Base):
    """One piece of work: `kind` says which story of the pipeline, `subject_id` about what."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_lease_until", "status", "lease_until"),
        Index("ix_jobs_exclusive_model_id_status", "exclusive_model_id", "status"),
        # One active job per model, whatever races: the claim that comes second breaks on this index.
        Index(
            "uq_jobs_active_model",
            "exclusive_model_id",
            unique=True,
            sqlite_where=text("status IN ('running', 'cancelling')"),
            postgresql_where=text("status IN ('running', 'cancelling')"),
        ),
    )

    kind: Mapped[JobKind] = mapped_column(EnumText(JobKind))
    subject_id: Mapped[str] = mapped_column(String(64), index=True)
    """The data set, version or forget request it is about."""
    exclusive_model_id: Mapped[str | None] = mapped_column(ForeignKey("models.id"))
    """Unlearning jobs of one model run one at a time; other kinds leave it empty."""
    whole_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """Of a shard: the job that waits for all of them, to put together what they leave."""
    shard: Mapped[int | None]
    """Of a shard: which one, from 1."""
    shards: Mapped[int | None]
    """How many share the work, where more than one do."""
    shard_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of a shard that succeeded: the digest of the file that it left."""
    batch_key: Mapped[str | None] = mapped_column(String(64), index=True)
    """Of an unlearning job: requests with the same digest may join it until it is claimed for the first time."""
    awaits_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """A job that must be over before this one's turn comes: it computes a Fisher diagonal that this one needs."""
    not_before: Mapped[datetime | None]
    """Until then it waits: for more requests to join it or, queued again, for what was in its way to be gone."""
    status: Mapped[JobStatus] = mapped_column(EnumText(JobStatus), default=JobStatus.QUEUED)
    status_reason: Mapped[str | None] = mapped_column(String(100))
    status_detail: Mapped[str | None] = mapped_column(Text)
    transitions: Mapped[list[Any]] = mapped_column(default=list)
    attempt: Mapped[int] = mapped_column(default=0)
    """Starts."""
    excused: Mapped[int] = mapped_column(default=0)
    """Starts that do not count: their end was none of the job's doing."""
    max_attempts: Mapped[int]
    fence: Mapped[int] = mapped_column(default=0)
    """Grows with every claim; only the holder of the newest one may publish."""
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    """{phase, completed, total, unit, message}."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float | None] = mapped_column(Float)
    """Of work, in all attempts that have ended."""


class JobEvent(Base):
    """Something that happened in a job; `sequence` orders them within the job."""

    __tablename__ = "job_events"
    __table_args__ = (UniqueConstraint("job_id", "sequence"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    sequence: Mapped[int]
    at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(32))
    """`status`, `progress`, `note`, `log`, or `attempt`: what one used, and how its process ended."""
    data: Mapped[dict[str, Any]]
