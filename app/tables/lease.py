"""The row of a lease: of what several processes may do, one does it."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base


class Lease(Base):
    """Who may do it, and until when without being heard of."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(200))
    fence: Mapped[int]
    """Grows with every change of hands."""
    lease_until: Mapped[datetime]
