"""Audit reports on the wire."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class AuditReportOut(BaseModel):
    """A report: the body for reading, and the signed envelope over it for proof."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    forget_request_id: str
    job_id: str
    verdict: str
    body: dict[str, Any]
    envelope: dict[str, Any]
    created_at: datetime
