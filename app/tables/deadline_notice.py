"""The row of a notice: that the deadline of a forget request comes near."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class DeadlineNotice(Owned, Base):
    """Given once for every deadline and number of days; an extended request has another deadline."""

    __tablename__ = "deadline_notices"
    __table_args__ = (UniqueConstraint("forget_request_id", "due_at", "days"),)

    forget_request_id: Mapped[str] = mapped_column(ForeignKey("forget_requests.id"))
    due_at: Mapped[datetime]
    """The deadline that it was about."""
    days: Mapped[int]
    """At most so many were left."""
