"""The row of the outbox: a message that must be sent because its transaction has committed."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, utcnow


class OutboxMessage(Base):
    """Run this job. Messages carry ids only."""

    __tablename__ = "outbox"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    """Not to be sent before."""
    sent_at: Mapped[datetime | None] = mapped_column(index=True)
