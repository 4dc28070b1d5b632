"""Data sets on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.core.params import InputKind
from app.domain.lifecycle import DatasetStatus
from app.web.text import NO_NUL, Line, Name

FilePath = Annotated[str, StringConstraints(pattern=NO_NUL, min_length=1, max_length=4000)]
"""An absolute path on the service's machine, below one of its configured folders."""


class ColumnMapping(BaseModel):
    """Which column of the manifest holds what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_id: Line
    input: Line
    label: Line
    subject_id: Line | None = None
    split: Line | None = None


class DatasetIn(BaseModel):
    """A data set to be registered."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Name
    path: FilePath
    """A Parquet file, or a folder of them."""
    columns: ColumnMapping
    classes: Annotated[int, Field(ge=2, le=100_000)]
    """Labels are 0 … classes-1."""


class DatasetOut(BaseModel):
    """A data set; the facts about it are there once it is ready."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    name: str
    path: str
    columns: ColumnMapping
    classes: int
    status: DatasetStatus
    status_reason: str | None
    status_detail: str | None
    job_id: str | None
    sha256: str | None
    rows: int | None
    input_kind: InputKind | None
    input_shape: list[int] | None
    """(C, H, W) of images, (D,) of feature lists; of texts the words of the longest."""
    counts: dict[str, dict[str, int]] | None
    created_at: datetime
