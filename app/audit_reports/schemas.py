"""Audit reports on the wire."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.domain.lifecycle import ReportStatus
from app.domain.policy import ModelPolicy
from app.forget_requests.schemas import AnyTarget, AuditIn, StoredTarget
from app.models.schemas import VersionId
from app.web.text import Line, Ref


class AuditReportIn(BaseModel):
    """Two versions of a model to be compared: somebody made the second forget something, here or elsewhere."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    model: Ref
    before: VersionId
    after: VersionId
    target: AnyTarget
    """What the second is said to have forgotten."""
    audit: AuditIn = Field(default_factory=AuditIn)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    external_id: Line | None = None
    """The caller's own reference."""


class StoredAudit(BaseModel):
    """What the row keeps of it: everything but the ids of samples and subjects."""

    model_id: str
    dataset_id: str
    before: str
    after: str
    target: StoredTarget
    audit: AuditIn
    policy: ModelPolicy = Field(default_factory=ModelPolicy)
    """Of the model when the audit was accepted: the margins of its verdict."""
    seed: int
    external_id: str | None
    received_at: datetime
    samples: int
    positions: list[int]
    """Rows of the manifest; emptied once the audit is over."""


class AuditReportOut(BaseModel):
    """A report: the body for reading, and the signed envelope over it for proof; both null until it is completed.

    A completed one is answered byte for byte as it was signed (RFC 8785 canonical JSON), for `unlearn verify`.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    status: ReportStatus
    status_reason: str | None
    forget_request_id: str | None
    """Null: a stand-alone audit."""
    job_id: str | None
    made_at: datetime | None
    verdict: str | None
    body: dict[str, Any] | None
    envelope: dict[str, Any] | None
