"""The rows of aliases, e.g. `deployed` -> a version, and their history."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned, utcnow


class Alias(Owned, Base):
    """A name that points to one version."""

    __tablename__ = "aliases"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    name: Mapped[str] = mapped_column(String(100))
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    revision: Mapped[int] = mapped_column(default=1)
    """Counts the changes; its ETag."""


class AliasChange(Owned, Base):
    """One change of an alias."""

    __tablename__ = "alias_changes"

    alias_id: Mapped[str] = mapped_column(ForeignKey("aliases.id"), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    revision: Mapped[int]
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(default=utcnow)
