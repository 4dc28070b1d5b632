"""`/audit-reports`: asked for without a forget request; read, as JSON, page or PDF."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response

from app.audit_reports import queries, service, stand_alone
from app.audit_reports.representations import HTML, PDF, Form, wanted
from app.audit_reports.schemas import AuditReportIn, AuditReportOut
from app.keys.caller import Caller, requires
from app.tables import AuditReport
from app.web.dependencies import IdempotencyKey, IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import as_stored, conditional
from app.web.idempotency import once
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import id_pattern

router = APIRouter(prefix="/audit-reports", tags=["Audit reports"])

ReportId = Annotated[str, Path(pattern=id_pattern("ar"))]
FigureName = Annotated[str, Path(pattern="^[a-z_]{1,40}$")]
PAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}, "description": "A page."}}
DOCUMENT: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {}}, "description": "A PDF."}}
DRAWING: dict[int | str, dict[str, Any]] = {200: {"content": {"image/svg+xml": {}}, "description": "A drawing."}}
DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
Reader = Annotated[Caller, requires("audit-reports:read")]
Writer = Annotated[Caller, requires("audit-reports:write")]


@router.post("", status_code=202, response_model=AuditReportOut, responses=describe(409))
def submit(
    wish: AuditReportIn, session: Transaction, caller: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    """Audit any two versions of a model: what one of them forgot elsewhere is measured, judged and certified here."""

    def act() -> tuple[AuditReportOut, dict[str, str]]:
        row = stand_alone.submit(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
        return queries.describe(row), {"Location": f"/audit-reports/{row.id}", "Retry-After": "5"}

    route = "POST /audit-reports"
    return once(session, idempotency_key, tenant_id=caller.tenant_id, route=route, wish=wish, act=act, status=202)


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[AuditReportOut]:
    """The tenant's audit reports, newest first."""
    return queries.listing(session, paging, tenant_id=caller.tenant_id)


@router.get("/{report_id}.html", responses={**describe(404, 409), **PAGE})
def page(report_id: ReportId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """The report as one self-contained page: a summary in plain words, then every detail."""
    return _in_form(HTML, service.completed(session, report_id, tenant_id=caller.tenant_id), if_none_match)


@router.get("/{report_id}.pdf", responses={**describe(404, 409), **DOCUMENT})
def document(report_id: ReportId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """The report for printing and filing."""
    return _in_form(PDF, service.completed(session, report_id, tenant_id=caller.tenant_id), if_none_match)


@router.get(
    "/{report_id}",
    response_model=AuditReportOut,
    responses={**describe(404), 304: {"description": "Unchanged"}},
)
def get(
    report_id: ReportId,
    session: Reading,
    caller: Reader,
    accept: Annotated[str | None, Header(max_length=2000, description="JSON, text/html or application/pdf.")] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One audit report with its signed envelope: save the JSON as it is, and `unlearn verify` checks every byte."""
    row = service.get(session, report_id, tenant_id=caller.tenant_id)
    if not queries.is_completed(row):
        return conditional(queries.describe(row), if_none_match)
    return _in_form(wanted(accept), row, if_none_match)


@router.get("/{report_id}/envelope", responses=describe(404, 409))
def envelope(report_id: ReportId, session: Reading, caller: Reader) -> dict[str, Any]:
    """The DSSE envelope alone, for other tools of in-toto."""
    return service.completed(session, report_id, tenant_id=caller.tenant_id).envelope or {}


@router.get("/{report_id}/figures/{name}.svg", responses={**describe(404, 409), **DRAWING})
def drawing(report_id: ReportId, name: FigureName, session: Reading, caller: Reader) -> Response:
    """One figure of the report."""
    content = service.figure(session, report_id, name, "svg", tenant_id=caller.tenant_id)
    return Response(
        content, 200, {"Content-Security-Policy": DRAWING_POLICY, "X-Content-Type-Options": "nosniff"}, "image/svg+xml"
    )


@router.get("/{report_id}/figures/{name}.json", responses=describe(404, 409))
def numbers(report_id: ReportId, name: FigureName, session: Reading, caller: Reader) -> dict[str, Any]:
    """The numbers that a figure shows."""
    content = service.figure(session, report_id, name, "json", tenant_id=caller.tenant_id)
    found: dict[str, Any] = json.loads(content)
    return found


def _in_form(form: Form, row: AuditReport, if_none_match: str | None) -> Response:
    headers = {**form.headers, "Vary": "Accept"}
    return as_stored(form.make(row.body or {}, row.envelope or {}), form.media_type, if_none_match, headers=headers)
