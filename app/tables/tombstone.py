"""The row of a tombstone: one sample that one model must forget, or has forgotten."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class Tombstone(Owned, Base):
    """Claimed when the request is accepted, for ever from `forgotten_at` on; removed if the request comes to nothing.

    The unique index is what makes two requests in flight for the same sample impossible, whoever comes first. A sample
    may be forgotten a second time: by versions that do not descend from the one that forgot it.
    """

    __tablename__ = "tombstones"
    __table_args__ = (
        Index(
            "uq_tombstones_in_flight",
            "model_id",
            "dataset_id",
            "position",
            "scope",
            unique=True,
            sqlite_where=text("forgotten_at IS NULL"),
            postgresql_where=text("forgotten_at IS NULL"),
        ),
        Index(
            "ix_tombstones_forgotten",
            "dataset_id",
            "position",
            sqlite_where=text("forgotten_at IS NOT NULL"),
            postgresql_where=text("forgotten_at IS NOT NULL"),
        ),
        Index("ix_tombstones_model_id_dataset_id_position", "model_id", "dataset_id", "position"),
    )

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))  # nobody looks for all of a tenant: no index
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    forget_request_id: Mapped[str] = mapped_column(ForeignKey("forget_requests.id"), index=True)
    position: Mapped[int] = mapped_column(BigInteger)
    """Row of the sample in the manifest, so that no sample id is copied."""
    scope: Mapped[str] = mapped_column(String(16))
    """`sample`: the whole sample; `feature`: something in it (backdoor, leakage)."""
    forgotten_at: Mapped[datetime | None]
