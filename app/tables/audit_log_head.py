"""The row of a signed head of an audit log: how long the chain was then, and what it ended with."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class AuditLogHead(Owned, Base):
    """Whoever rewrites a chain from its beginning would need the signing key to rewrite its heads too."""

    __tablename__ = "audit_log_heads"

    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    """Of the entry with that number."""
    envelope: Mapped[dict[str, Any]]
    """DSSE envelope over both."""
