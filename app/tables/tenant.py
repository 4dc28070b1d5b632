"""The row of a tenant: nothing crosses from one to another."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, utcnow


class Tenant(Base):
    """One organisation."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    audit_log_head: Mapped[str] = mapped_column(String(64), default="0" * 64)
    """SHA-256 of the newest audit-log entry; updating it serialises the chain."""
    audit_log_length: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
