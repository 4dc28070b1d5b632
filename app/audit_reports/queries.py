"""Pages of audit reports."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_reports.schemas import AuditReportOut
from app.tables import AuditReport
from app.web.pages import Page, Paging, fetch


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[AuditReportOut]:
    """The tenant's reports."""
    statement = select(AuditReport).where(AuditReport.tenant_id == tenant_id)
    return fetch(session, statement, AuditReport.id, paging, AuditReportOut.model_validate)
