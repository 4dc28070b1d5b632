"""Audit reports on the wire."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.domain.lifecycle import ReportStatus


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
