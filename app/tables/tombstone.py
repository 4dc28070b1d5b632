"""The row of a tombstone: one sample that one model must forget, or has forgotten."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class Tombstone(Owned, Base):
    """Claimed when the request is accepted, for ever from `forgotten_at` on; removed if the request comes to nothing.

    The unique constraint is what makes a second request for the same sample impossible, whoever comes first.
    """

    __tablename__ = "tombstones"
    __table_args__ = (
        UniqueConstraint("model_id", "dataset_id", "position", "scope"),
        Index("ix_tombstones_dataset_id_forgotten_at", "dataset_id", "forgotten_at"),
    )

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    forget_request_id: Mapped[str] = mapped_column(ForeignKey("forget_requests.id"), index=True)
    position: Mapped[int] = mapped_column(BigInteger)
    """Row of the sample in the manifest, so that no sample id is copied."""
    scope: Mapped[str] = mapped_column(String(16))
    """`sample`: the whole sample; `feature`: something in it (backdoor, leakage)."""
    forgotten_at: Mapped[datetime | None]
