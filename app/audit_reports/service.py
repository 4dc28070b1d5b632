"""Assemble, judge and sign what happened; find it again."""

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log.service import record
from app.audit_reports.files import read_figure
from app.catalogue.unions import AnyMethod
from app.core.db import now
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.params import Kind, MethodParams
from app.core.signing import sign
from app.domain.lifecycle import ReportStatus
from app.domain.policy import policy_of
from app.domain.report import Asked, Measured, ReportBody, Subject
from app.domain.rungs import said, warned
from app.domain.verdict import LIMITS, judge, summary, verdict
from app.signing_keys import service as signing_keys
from app.tables import AuditReport, Dataset, ForgetRequest, Model, ModelVersion

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://unlearnd.dev/audit-report/v1"
_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)


def assemble(
    session: Session,
    request: ForgetRequest,
    measured: Measured,
    *,
    result: ModelVersion,
    report_id: str | None = None,
) -> AuditReport:
    """Judge the findings, write the report, sign it; one row, in the caller's transaction.

    Args:
        session: the caller's.
        request: that was carried out.
        measured: what the worker found.
        result: the new version.
        report_id: the id under which the figures were stored; by default a new one.
    """
    row = AuditReport(
        id=report_id or new_id("ar"),
        tenant_id=request.tenant_id,
        forget_request_id=request.id,
        job_id=request.job_id,
        status=ReportStatus.COMPLETED,
    )
    session.add(row)
    method = _METHOD.validate_python(request.method)
    asked = Asked(
        forget_request=request.id,
        external_id=request.external_id,
        kind=request.kind,
        target=request.target,
        samples=request.sample_count,
        method=request.method,
        method_chosen_by=request.method_chosen_by,
        method_reason=request.method_reason,
        paper=method.paper,
        guarantee=method.guarantee,
        audit=request.audit,
        policy=policy_of(request.policy).model_dump(mode="json"),
        seed=request.seed,
        received_at=request.received_at,
        due_at=request.due_at,
    )
    base = session.get_one(ModelVersion, request.base_version_id)
    dataset = session.get_one(Dataset, request.dataset_id)
    sign_off(session, row, asked, measured, base, result, dataset, changes_weights=method.changes_weights)
    write_down(session, row, actor="worker")
    return row


def get(session: Session, report_id: str, *, tenant_id: str) -> AuditReport:
    """One report of this tenant.

    Raises:
        NotFound: there is none, or it is another tenant's.
    """
    row = session.scalar(select(AuditReport).where(AuditReport.id == report_id, AuditReport.tenant_id == tenant_id))
    if row is None:
        raise NotFound("there is no such audit report", code="audit_report_not_found")
    return row


def completed(session: Session, report_id: str, *, tenant_id: str) -> AuditReport:
    """One report of this tenant that can be read.

    Raises:
        NotFound: there is none, or it is another tenant's.
        Conflict: it is not made yet, or came to nothing.
    """
    row = get(session, report_id, tenant_id=tenant_id)
    if row.body is None:
        raise Conflict(
            f"The report is {row.status}: there is nothing to read.",
            code="report_not_completed",
            retryable=row.status is ReportStatus.QUEUED,
        )
    return row


def figure(session: Session, report_id: str, name: str, kind: str, *, tenant_id: str) -> bytes:
    """The drawing (`svg`) or the numbers (`json`) of one figure."""
    row = completed(session, report_id, tenant_id=tenant_id)
    for entry in (row.body or {}).get("figures", []):
        if entry["name"] == name:
            return read_figure(report_id, entry, kind)
    raise NotFound("The report has no such figure.", code="figure_not_found")


def sign_off(
    session: Session,
    row: AuditReport,
    asked: Asked,
    measured: Measured,
    before: ModelVersion,
    after: ModelVersion,
    dataset: Dataset,
    *,
    changes_weights: bool = True,
) -> None:
    """Judge the findings and fill the row: the body, its verdict, and the envelope over both."""
    private = signing_keys.in_force(session)  # first: a key must be older than what it signs
    kind = Kind(asked.kind)
    margins = policy_of(asked.policy).judging
    findings = judge(kind, measured.findings, policy=margins)
    outcome = verdict(kind, findings, changes_weights=changes_weights, policy=margins)
    body = ReportBody(
        report=row.id,
        job=row.job_id or "",
        made_at=now(session),
        verdict=outcome,
        summary=[*summary(kind, findings, outcome), *said(measured.rungs), *warned(measured.method_facts)],
        asked=asked,
        subject=Subject(
            model=session.get_one(Model, before.model_id).name,
            base_version=before.id,
            base_weights_sha256=before.weights_sha256,
            new_version=after.id,
            new_weights_sha256=after.weights_sha256,
            dataset=dataset.name,
            dataset_sha256=dataset.sha256 or "",
            inputs="pictures" if len(dataset.input_shape or ()) == 3 else "records",
        ),
        sizes=measured.sizes,
        method_facts=measured.method_facts,
        findings=findings,
        cost=measured.cost,
        environment=measured.environment,
        rungs=measured.rungs,
        figures=measured.figures,
        not_measured=measured.not_measured,
        limits=list(LIMITS),
    )
    document = body.model_dump(mode="json")
    row.verdict, row.body = body.verdict, document
    row.envelope = sign(_statement(body, document), private)
    session.flush()


def write_down(session: Session, row: AuditReport, *, actor: str) -> None:
    """One entry of the audit log: the row is in a new state."""
    record(
        session,
        tenant_id=row.tenant_id,
        actor=actor,
        action=f"audit_report.{row.status.value}",
        resource=row.id,
        data={"forget_request": row.forget_request_id, "verdict": row.verdict, "reason": row.status_reason},
    )


def _statement(body: ReportBody, document: dict[str, object]) -> dict[str, object]:
    """An in-toto Statement about the new weights; the report is its predicate."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": body.subject.new_version, "digest": {"sha256": body.subject.new_weights_sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }
