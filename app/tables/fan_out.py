"""The row of a request that fans out: one wish, carried out by every deployed model that was trained on the data."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class FanOut(Owned, Base):
    """What its children have in common. It has no life of its own: its status is theirs."""

    __tablename__ = "fan_outs"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    alias: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    external_id: Mapped[str | None] = mapped_column(String(200))
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    covered: Mapped[list[Any]]
    """Models that have forgotten all of it, or are about to: [{"model": id, "forget_request": id, "code": why}]."""
