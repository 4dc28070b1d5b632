"""The row of an audit report."""

from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.lifecycle import ReportStatus
from app.tables.base import Base, EnumText, Owned


class AuditReport(Owned, Base):
    """What was measured, what it means, and the signed envelope over both; for a stand-alone audit, what was asked."""

    __tablename__ = "audit_reports"
    __table_args__ = (UniqueConstraint("forget_request_id"),)

    forget_request_id: Mapped[str | None] = mapped_column(ForeignKey("forget_requests.id"))
    """Empty: a stand-alone audit."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    status: Mapped[ReportStatus] = mapped_column(EnumText(ReportStatus), default=ReportStatus.COMPLETED)
    status_reason: Mapped[str | None] = mapped_column(String(100))
    status_detail: Mapped[str | None] = mapped_column(Text)
    asked: Mapped[dict[str, Any] | None]
    """`StoredAudit`, of a stand-alone audit only."""
    verdict: Mapped[str | None] = mapped_column(String(16))
    body: Mapped[dict[str, Any] | None]
    """`ReportBody`."""
    envelope: Mapped[dict[str, Any] | None]
    """DSSE envelope: an in-toto Statement whose predicate is the body."""
