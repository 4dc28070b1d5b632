"""Assemble, judge and sign what happened; find it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log.service import record_all
from app.audit_reports.files import figures_of, read_figure
from app.catalogue.unions import AnyMethod
from app.core.db import now
from app.core.errors import Conflict, NotFound
from app.core.params import InputKind, Kind, MethodParams
from app.core.signing import sign
from app.domain.lifecycle import ReportStatus
from app.domain.policy import policy_of
from app.domain.report import Asked, Batch, Measured, Own, ReportBody, Subject
from app.domain.rules import Policy
from app.domain.rungs import said, warned
from app.domain.sentences import shared
from app.domain.verdict import LIMITS, judge, summary, verdict
from app.models import service as models
from app.signing_keys import service as signing_keys
from app.tables import AuditReport, Dataset, ForgetRequest, Model, ModelVersion

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://unlearnd.dev/audit-report/v1"
_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)
INPUTS: Mapping[InputKind | None, Literal["pictures", "records", "texts"]] = {
    InputKind.IMAGES: "pictures",
    InputKind.TEXT: "texts",
}
"""What the report calls them; all else are records."""


def assemble(
    session: Session,
    requests: Sequence[ForgetRequest],
    measured: Measured,
    *,
    result: ModelVersion,
    report_ids: Sequence[str],
    own: Sequence[Own] = (),
) -> list[AuditReport]:
    """Judge the findings; for each request write a report and sign it: one row each, in the caller's transaction.

    Args:
        session: the caller's.
        requests: that one job carried out, all by the same method.
        measured: what the worker found, on the samples of all of them.
        result: the new version.
        report_ids: one for each request; the figures are stored under the first.
        own: where there are several requests, what was found on the samples of each.
    """
    first = requests[0]
    method = _METHOD.validate_python(first.method)
    dataset, base = session.get_one(Dataset, first.dataset_id), session.get_one(ModelVersion, first.base_version_id)
    margins, changes = policy_of(first.policy).judging, method.changes_weights
    draft = _draft(session, Kind(first.kind), measured, base, result, dataset, margins, changes_weights=changes)
    together: list[Batch | None] = [_batch(requests, shown, report_ids[0]) for shown in own]
    rows = [
        _row(report_id, request, _asked(request, method), draft, batch)
        for report_id, request, batch in zip(report_ids, requests, together or [None], strict=True)
    ]
    session.add_all(rows)
    session.flush()
    write_down(session, rows, actor="worker")
    return rows


def _row(report_id: str, request: ForgetRequest, asked: Asked, draft: "_Draft", batch: Batch | None) -> AuditReport:
    row = AuditReport(
        id=report_id,
        tenant_id=request.tenant_id,
        forget_request_id=request.id,
        job_id=request.job_id,
        status=ReportStatus.COMPLETED,
    )
    draft.complete(row, asked, batch)
    return row


def _asked(request: ForgetRequest, method: MethodParams) -> Asked:
    return Asked(
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


def _batch(requests: Sequence[ForgetRequest], own: Own, figures_of: str) -> Batch:
    samples = sum(request.sample_count for request in requests)
    return Batch(requests=len(requests), samples=samples, own=own, figures_of=figures_of)


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
            return read_figure(figures_of(row.body or {}), entry, kind)
    raise NotFound("The report has no such figure.", code="figure_not_found")


def sign_off(
    session: Session,
    row: AuditReport,
    asked: Asked,
    measured: Measured,
    before: ModelVersion,
    after: ModelVersion,
    dataset: Dataset,
) -> None:
    """Judge the findings of a stand-alone audit and fill its row: the body, its verdict, the envelope over both."""
    margins = policy_of(asked.policy).judging
    _draft(session, Kind(asked.kind), measured, before, after, dataset, margins).complete(row, asked)


@dataclass(frozen=True)
class _Draft:
    """What the reports of one job have in common, and the key that signs them."""

    common: dict[str, Any]
    summary: list[str]
    private: str

    def complete(self, row: AuditReport, asked: Asked, batch: Batch | None = None) -> None:
        """Make this row's own report of it."""
        sentences = [*self.summary, *(shared(batch) if batch is not None else [])]
        facts = {"report": row.id, "job": row.job_id or "", "asked": asked, "summary": sentences, "batch": batch}
        body = ReportBody(**self.common, **facts)
        document = body.model_dump(mode="json")
        row.verdict, row.body = body.verdict, document
        row.envelope = sign(_statement(body, document), self.private)


def _draft(
    session: Session,
    kind: Kind,
    measured: Measured,
    before: ModelVersion,
    after: ModelVersion,
    dataset: Dataset,
    margins: Policy,
    *,
    changes_weights: bool = True,
) -> _Draft:
    private = signing_keys.in_force(session)  # first: a key must be older than what it signs
    findings = judge(kind, measured.findings, policy=margins)
    outcome = verdict(kind, findings, changes_weights=changes_weights, policy=margins)
    common = {
        "made_at": now(session),
        "verdict": outcome,
        "subject": Subject(
            model=session.get_one(Model, before.model_id).name,
            base_version=before.id,
            base_weights_sha256=before.weights_sha256,
            new_version=after.id,
            new_weights_sha256=after.weights_sha256,
            dataset=dataset.name,
            dataset_sha256=dataset.sha256 or "",
            inputs=INPUTS.get(dataset.input_kind, "records"),
        ),
        "sizes": measured.sizes,
        "method_facts": measured.method_facts,
        "findings": findings,
        "cost": measured.cost.model_copy(update={"stored_fisher_seconds": models.fisher_seconds(session, before)}),
        "environment": measured.environment,
        "rungs": measured.rungs,
        "figures": measured.figures,
        "not_measured": measured.not_measured,
        "limits": list(LIMITS),
    }
    told = [*summary(kind, findings, outcome), *said(measured.rungs), *warned(measured.method_facts)]
    return _Draft(common, told, private)


def write_down(session: Session, rows: Sequence[AuditReport], *, actor: str) -> None:
    """One entry of the audit log for each row, of one tenant: it is in a new state."""
    entries = [
        (
            f"audit_report.{row.status.value}",
            row.id,
            {"forget_request": row.forget_request_id, "verdict": row.verdict, "reason": row.status_reason},
        )
        for row in rows
    ]
    record_all(session, tenant_id=rows[0].tenant_id, actor=actor, entries=entries)


def _statement(body: ReportBody, document: dict[str, object]) -> dict[str, object]:
    """An in-toto Statement about the new weights; the report is its predicate."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": body.subject.new_version, "digest": {"sha256": body.subject.new_weights_sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }
