"""The row of a model version: write-once weights and what was computed from them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.lifecycle import VersionStatus
from app.tables.base import Base, EnumText, Owned


class ModelVersion(Owned, Base):
    """Weights are written once; their digests bind everything derived from them."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "number"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    number: Mapped[int]
    role: Mapped[str] = mapped_column(String(16), default="candidate")
    """`candidate`: may be deployed. `gold`: a retrained reference for audits."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("model_versions.id"), index=True)
    made_by_job_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[VersionStatus] = mapped_column(EnumText(VersionStatus), default=VersionStatus.VALIDATING)
    status_reason: Mapped[str | None] = mapped_column(String(100))
    status_detail: Mapped[str | None] = mapped_column(Text)
    weights_path: Mapped[str] = mapped_column(Text)
    weights_sha256: Mapped[str] = mapped_column(String(64))
    weights_bytes: Mapped[int] = mapped_column(BigInteger)
    initial_weights_path: Mapped[str | None] = mapped_column(Text)
    initial_weights_sha256: Mapped[str | None] = mapped_column(String(64))
    deltas_path: Mapped[str | None] = mapped_column(Text)
    deltas_sha256: Mapped[str | None] = mapped_column(String(64))
    deltas_taken: Mapped[list[Any] | None]
    """Numbers of the recorded steps that the weights do not contain any more. None: they contain all."""
    drift: Mapped[dict[str, Any] | None]
    """`Drift`: what unlearning has done since the newest ancestor that was trained from scratch. None: nothing yet."""
    silenced_classes: Mapped[list[Any]] = mapped_column(default=list)
    """Classes this version never answers (truncation)."""
    job_id: Mapped[str | None] = mapped_column(String(64))
    """The newest job about this version: its validation, then its Fisher diagonal."""
    fisher_path: Mapped[str | None] = mapped_column(Text)
    fisher_sha256: Mapped[str | None] = mapped_column(String(64))
    fisher_count: Mapped[int | None] = mapped_column(BigInteger)
    purge_decisions: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """[`PurgeDecision`]: who has asked for its destruction, in order."""
    destroyed_at: Mapped[datetime | None]
    """Of a purged version: since then its files are gone."""
