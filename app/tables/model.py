"""The row of a registered model."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class Model(Owned, Base):
    """A network family with its parameters, its preprocessing, its recipe and the data it was trained on."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[str] = mapped_column(String(50), default="classification")
    architecture: Mapped[dict[str, Any]]
    """`AnyArchitecture`, defaults included."""
    preprocessing: Mapped[dict[str, Any]]
    """`Preprocessing`."""
    recipe: Mapped[dict[str, Any] | None]
    """`TrainingRecipe`, or none: then nothing can be retrained."""
    policy: Mapped[dict[str, Any] | None]
    """`ModelPolicy`; none: the default one."""
    policy_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    """Counts the changes; its ETag."""
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    drift_budget: Mapped[dict[str, Any] | None]
    """`DriftBudget`, or none."""
    queue_paused_at: Mapped[datetime | None]
    """Since then its queued jobs wait, until somebody resumes the queue."""
