"""The row of a gold model: what a retraining for an audit came to, kept for later audits."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class GoldModel(Owned, Base):
    """It never saw D_f; who trains it again from what `digest` binds gets the same weights."""

    __tablename__ = "gold_models"
    # Not unique: two audits at once may train the same one, and neither shall fail for it.
    __table_args__ = (Index("ix_gold_models_model_id_digest", "model_id", "digest"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    digest: Mapped[str] = mapped_column(String(64))
    """Of all that its weights depend on: recipe, architecture, data, what was left out of them, seed, software."""
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    """The job that trained it."""
    weights_path: Mapped[str] = mapped_column(Text)
    weights_sha256: Mapped[str] = mapped_column(String(64))
    weights_bytes: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Float)
    """Of its training."""
    purged_at: Mapped[datetime | None]
    """Since then its file is to be destroyed; the row goes with it."""
