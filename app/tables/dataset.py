"""The row of a registered data set."""

from typing import Any

from sqlalchemy import BigInteger, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.params import InputKind
from app.domain.lifecycle import DatasetStatus
from app.tables.base import Base, EnumText, Owned


class Dataset(Owned, Base):
    """A Parquet manifest with a column mapping; facts about it are filled in by its validation job."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(String(200))
    path: Mapped[str] = mapped_column(Text)
    columns: Mapped[dict[str, Any]]
    """`ColumnMapping`: which column holds the id, the input, the label, the subject, the split."""
    classes: Mapped[int]
    status: Mapped[DatasetStatus] = mapped_column(EnumText(DatasetStatus), default=DatasetStatus.VALIDATING)
    status_reason: Mapped[str | None] = mapped_column(String(100))
    status_detail: Mapped[str | None] = mapped_column(Text)
    job_id: Mapped[str | None] = mapped_column(String(64))
    sha256: Mapped[str | None] = mapped_column(String(64))
    rows: Mapped[int | None] = mapped_column(BigInteger)
    input_kind: Mapped[InputKind | None] = mapped_column(EnumText(InputKind))
    input_shape: Mapped[list[Any] | None]
    counts: Mapped[dict[str, Any] | None]
    """Samples by split and class: {"train": {"0": 5000, …}, …}."""
    index_path: Mapped[str | None] = mapped_column(Text)
    """Parquet sorted by sample_id: sample_id, position, label, split, subject_id."""
