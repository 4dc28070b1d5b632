"""Pages of audit reports."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_reports.certificate import document_of
from app.audit_reports.schemas import AuditReportOut
from app.tables import AuditReport
from app.web.pages import Page, Paging, fetch


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[AuditReportOut]:
    """The tenant's reports."""
    statement = select(AuditReport).where(AuditReport.tenant_id == tenant_id)
    return fetch(session, statement, AuditReport.id, paging, describe)


def is_completed(row: AuditReport) -> bool:
    """Whether there is something to read."""
    return row.body is not None and row.envelope is not None


def describe(row: AuditReport) -> AuditReportOut:
    """A report as the wire has it."""
    if row.body is not None and row.envelope is not None:
        return AuditReportOut.model_validate(document_of(row.body, row.envelope))
    return AuditReportOut(
        id=row.id,
        status=row.status,
        status_reason=row.status_reason,
        forget_request_id=row.forget_request_id,
        job_id=row.job_id,
        made_at=None,
        verdict=row.verdict,
        body=None,
        envelope=None,
    )
