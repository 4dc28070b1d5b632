"""The row of a forget request: who, what, by when, how, audited how."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.lifecycle import RequestStatus
from app.tables.base import Base, EnumText, Owned


class ForgetRequest(Owned, Base):
    """The legal object. Which samples it covers stands in its tombstones, not here."""

    __tablename__ = "forget_requests"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    base_version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    """Of a request by alias: what it would build on, settled when its job is claimed for the first time."""
    alias: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    target: Mapped[dict[str, Any]]
    """What is forgotten, without ids of samples and subjects."""
    method: Mapped[dict[str, Any]]
    """`AnyMethod`, defaults included: the first rung of the ladder, and of a completed request the published one."""
    ladder: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """[{"method": `AnyMethod`, "left_out": why, or null}], in order; empty in rows older than ladders."""
    method_chosen_by: Mapped[str] = mapped_column(String(16))
    """`caller`, or `auto` with the reason in `method_reason`."""
    method_reason: Mapped[str | None] = mapped_column(Text)
    audit: Mapped[dict[str, Any]]
    """`AuditIn`, defaults included."""
    policy: Mapped[dict[str, Any] | None]
    """`ModelPolicy` of the model when the request was accepted; none in rows older than policies."""
    submitted_by: Mapped[str | None] = mapped_column(String(64))
    """The key; none in rows older than policies."""
    decisions: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """[`Decision`], in order."""
    seed: Mapped[int]
    sample_count: Mapped[int]
    already_forgotten: Mapped[list[Any]] = mapped_column(default=list)
    """Parts of the target that earlier requests cover: [{"forget_request": id, "samples": n}]."""
    external_id: Mapped[str | None] = mapped_column(String(200))
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    status: Mapped[RequestStatus] = mapped_column(EnumText(RequestStatus), default=RequestStatus.RECEIVED)
    status_reason: Mapped[str | None] = mapped_column(String(100))
    status_detail: Mapped[str | None] = mapped_column(Text)
    transitions: Mapped[list[Any]] = mapped_column(default=list)
    """[{"status": …, "at": …, "reason": …}], in order."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    """Several requests may share one job."""
    parent_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """The fan-out that it belongs to."""
    result_version_id: Mapped[str | None] = mapped_column(ForeignKey("model_versions.id"), index=True)
    audit_report_id: Mapped[str | None] = mapped_column(String(64))
