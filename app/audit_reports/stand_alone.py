"""Audits that no forget request asked for: somebody made a model forget elsewhere and wants to know how well."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_reports.schemas import AuditReportIn, StoredAudit
from app.audit_reports.service import sign_off, write_down
from app.core.db import now
from app.core.errors import invalid_field
from app.core.ids import new_id
from app.core.params import Kind
from app.datasets import service as datasets
from app.domain.lifecycle import JobKind, JobStatus, ReportStatus, check_arrow
from app.domain.report import Asked, Measured
from app.forget_requests import audits, targets
from app.forget_requests import service as forget_requests
from app.jobs import service as jobs
from app.models import policy as policies
from app.models import service as models
from app.tables import AuditReport, Dataset, Job, Model, ModelVersion

ELSEWHERE = "unknown: the new version was not made by this service for this audit"

_ENDS = {
    JobStatus.FAILED: ReportStatus.FAILED,
    JobStatus.LOST: ReportStatus.FAILED,
    JobStatus.CANCELLED: ReportStatus.CANCELLED,
}


def submit(session: Session, wish: AuditReportIn, *, tenant_id: str, actor: str) -> AuditReport:
    """Accept an audit: check all that is cheap now, queue its job. One transaction, the caller's."""
    model = models.find(session, wish.model, tenant_id=tenant_id)
    if model is None:
        raise invalid_field("/model", "There is no such model.", code="unknown_model")
    before, after = (_version(session, model, getattr(wish, name), pointer=f"/{name}") for name in ("before", "after"))
    if before.weights_sha256 == after.weights_sha256:
        raise invalid_field("/after", "It has the same weights as the version before.", code="same_weights")
    dataset = datasets.ready(session, wish.target.dataset, tenant_id=tenant_id, pointer="/target/dataset")
    if dataset.id != model.dataset_id:
        raise invalid_field("/target/dataset", "The model was not trained on this data set.", code="wrong_dataset")
    targets.check_transforms(wish.target, dataset, models.seen_by(model, dataset))
    positions = targets.resolve(wish.target, dataset)
    audits.check(session, wish.audit, Kind(wish.target.kind), model, dataset, (before, after))
    asked = StoredAudit(
        model_id=model.id,
        dataset_id=dataset.id,
        before=before.id,
        after=after.id,
        target=targets.stored(wish.target, dataset, _pairs(session, wish, dataset, positions, tenant_id)),
        audit=wish.audit,
        policy=policies.get(model),
        seed=wish.seed,
        external_id=wish.external_id,
        received_at=now(session),
        samples=len(positions),
        positions=positions,
    )
    row = AuditReport(
        id=new_id("ar"), tenant_id=tenant_id, status=ReportStatus.QUEUED, asked=asked.model_dump(mode="json")
    )
    session.add(row)
    session.flush()
    job = jobs.enqueue(session, tenant_id=tenant_id, kind=JobKind.AUDIT, subject_id=row.id, actor=actor)
    row.job_id = job.id
    session.flush()
    write_down(session, [row], actor=actor)
    return row


def asked_of(row: AuditReport) -> StoredAudit:
    """What a stand-alone audit is about."""
    return StoredAudit.model_validate(row.asked)


def complete(session: Session, row: AuditReport, measured: Measured) -> None:
    """The worker has measured: judge, sign, and keep no list of samples."""
    asked = asked_of(row)
    sign_off(
        session,
        row,
        Asked(
            forget_request=None,
            external_id=asked.external_id,
            kind=asked.target.kind.value,
            target=asked.target.model_dump(mode="json"),
            samples=asked.samples,
            method=None,
            method_chosen_by="somebody else",
            method_reason=None,
            paper=ELSEWHERE,
            guarantee=ELSEWHERE,
            audit=asked.audit.model_dump(mode="json"),
            policy=asked.policy.model_dump(mode="json"),
            seed=asked.seed,
            received_at=asked.received_at,
            due_at=None,
        ),
        measured,
        session.get_one(ModelVersion, asked.before),
        session.get_one(ModelVersion, asked.after),
        session.get_one(Dataset, asked.dataset_id),
    )
    transition(session, row, ReportStatus.COMPLETED)


def follow(session: Session, job: Job, *, actor: str = "worker") -> None:
    """Let what the job is about go where the job went; an audit whose job came to nothing has come to nothing."""
    if job.kind is not JobKind.AUDIT:
        forget_requests.follow(session, job, actor=actor)
        return
    row = session.get_one(AuditReport, job.subject_id, with_for_update=True)
    if job.status not in _ENDS or row.status is not ReportStatus.QUEUED:
        return
    reason, detail = job.status_reason, job.status_detail
    transition(session, row, _ENDS[job.status], reason=reason, detail=detail, actor=actor)


def transition(
    session: Session,
    row: AuditReport,
    status: ReportStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
) -> None:
    """Along one arrow of the life cycle, written down."""
    check_arrow(row.status, status)
    row.status, row.status_reason, row.status_detail = status, reason, detail
    row.asked = {**(row.asked or {}), "positions": []}  # its work is done
    session.flush()
    write_down(session, [row], actor=actor)


def _version(session: Session, model: Model, version_id: str, *, pointer: str) -> ModelVersion:
    elsewhere = session.scalar(
        select(ModelVersion).where(ModelVersion.id == version_id, ModelVersion.tenant_id == model.tenant_id)
    )
    if elsewhere is not None and elsewhere.model_id != model.id:
        other = session.get_one(Model, elsewhere.model_id)
        same = "the same architecture" if other.architecture == model.architecture else "another architecture"
        message = f"This is a version of another model, of {same}: only versions of one model can be compared."
        raise invalid_field(pointer, message, code="other_model")
    return models.ready_version(session, model, version_id, pointer=pointer, role="candidate", held=True)


def _pairs(
    session: Session, wish: AuditReportIn, dataset: Dataset, positions: list[int], tenant_id: str
) -> Dataset | None:
    name = getattr(wish.target, "pairs", None)
    if name is None:
        return None
    pairs = datasets.ready(session, name, tenant_id=tenant_id, pointer="/target/pairs")
    targets.check_pairs(pairs, dataset, positions)
    return pairs
