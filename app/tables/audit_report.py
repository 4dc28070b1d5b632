"""The row of an audit report."""

from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class AuditReport(Owned, Base):
    """What was measured, what it means, and the signed envelope over both."""

    __tablename__ = "audit_reports"
    __table_args__ = (UniqueConstraint("forget_request_id"),)

    forget_request_id: Mapped[str] = mapped_column(ForeignKey("forget_requests.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    verdict: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]]
    """`ReportBody`."""
    envelope: Mapped[dict[str, Any]]
    """DSSE envelope: an in-toto Statement whose predicate is the body."""
