"""The rows of a search of hyper-parameters, and of its trials."""

from typing import Any

from sqlalchemy import Double, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.objective import Objective
from app.tables.base import Base, EnumText, Owned


class Search(Owned, Base):
    """What is rehearsed, with which methods, and what the trials go by. How far it is stands in its job."""

    __tablename__ = "searches"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    base_version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"))
    alias: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    target: Mapped[dict[str, Any]]
    """What would be forgotten, without ids of samples and subjects."""
    positions: Mapped[list[Any]] = mapped_column(deferred=True)
    """Rows of the manifest that the target covers, as in tombstones; but a search claims nothing."""
    sample_count: Mapped[int]
    candidates: Mapped[list[Any]]
    """[{"method": `AnyMethod`, defaults included, "space": name -> `AnyRange`}]."""
    trials: Mapped[int]
    validation: Mapped[dict[str, Any]]
    objective: Mapped[Objective] = mapped_column(EnumText(Objective))
    seed: Mapped[int]
    data_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the data that the trials so far were made with; on other data they begin anew."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))


class SearchTrial(Owned, Base):
    """One trial that is over: `value` is empty where it failed."""

    __tablename__ = "search_trials"
    __table_args__ = (UniqueConstraint("search_id", "number"),)

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"), index=True)
    number: Mapped[int]
    candidate: Mapped[int]
    method: Mapped[dict[str, Any]]
    """The whole document, as a forget request takes it."""
    searched: Mapped[dict[str, Any] | None]
    """The values that were proposed; empty for a candidate as it was asked for."""
    value: Mapped[float | None] = mapped_column(Double)
    parts: Mapped[list[Any]]
    """What was measured on each validation part."""
    code: Mapped[str | None] = mapped_column(String(100))
    detail: Mapped[str | None] = mapped_column(Text)
    seconds: Mapped[float] = mapped_column(Double)
