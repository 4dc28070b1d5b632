"""`/audit-reports`: read."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.audit_reports import queries, service
from app.audit_reports.certificate import file_of
from app.audit_reports.schemas import AuditReportOut
from app.keys.caller import Caller, requires
from app.web.dependencies import IfNoneMatch, Paging, Reading
from app.web.etags import as_stored, conditional
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import id_pattern

router = APIRouter(prefix="/audit-reports", tags=["Audit reports"])

ReportId = Annotated[str, Path(pattern=id_pattern("ar"))]
Reader = Annotated[Caller, requires("audit-reports:read")]


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[AuditReportOut]:
    """The tenant's audit reports, newest first."""
    return queries.listing(session, paging, tenant_id=caller.tenant_id)


@router.get(
    "/{report_id}", response_model=AuditReportOut, responses={**describe(404), 304: {"description": "Unchanged"}}
)
def get(report_id: ReportId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One audit report, with its signed envelope."""
    row = service.get(session, report_id, tenant_id=caller.tenant_id)
    if row.body is None or row.envelope is None:
        return conditional(queries.describe(row), if_none_match)
    return as_stored(file_of(row.body, row.envelope), "application/json", if_none_match)
