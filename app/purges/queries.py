"""Who still needs a version, which gold models have seen what was forgotten since, and which files go."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy import exists, not_, or_, select
from sqlalchemy.orm import Session, aliased

from app.domain.lifecycle import USABLE, ReportStatus, VersionStatus
from app.forget_requests.planning import way_of
from app.forget_requests.queries import OVER
from app.forget_requests.tombstones import SAMPLE
from app.jobs.queries import OVER as JOB_OVER
from app.tables import Alias, AuditReport, ForgetRequest, GoldModel, Job, Model, ModelVersion, Search, Tombstone

LAG = timedelta(minutes=1)
"""More than a transaction may take from stamping what is forgotten to its end (`app.core.db.LOCK_SECONDS`)."""


def alias_at(session: Session, version: ModelVersion) -> str | None:
    """The name of an alias that points to it."""
    return session.scalar(select(Alias.name).where(Alias.version_id == version.id).order_by(Alias.name).limit(1))


def alias_beyond(session: Session, version: ModelVersion) -> str | None:
    """The name of an alias whose next request builds on it, or on what was made of it."""
    aliases = session.scalars(select(Alias).where(Alias.model_id == version.model_id).order_by(Alias.name)).all()
    return next((alias.name for alias in aliases if version.id in way_of(session, alias)), None)


def request_for(session: Session, version: ModelVersion) -> str | None:
    """A forget request that is not over and builds on it, has made it, or compares with it."""
    query = select(ForgetRequest.id, ForgetRequest.audit).where(
        ForgetRequest.model_id == version.model_id, ForgetRequest.status.not_in(OVER)
    )
    if version.role == "gold":
        asked = session.execute(query.order_by(ForgetRequest.id))
        return next((found for found, audit in asked if version.id in audit.get("gold_versions", [])), None)
    uses = or_(ForgetRequest.base_version_id == version.id, ForgetRequest.result_version_id == version.id)
    return session.scalars(query.where(uses).order_by(ForgetRequest.id).limit(1)).first()


def audit_for(session: Session, version: ModelVersion) -> str | None:
    """A stand-alone audit that waits or runs, and reads it."""
    asked = AuditReport.asked
    query = select(
        AuditReport.id, asked["before"].as_string(), asked["after"].as_string(), asked["audit"]["gold_versions"]
    ).where(AuditReport.tenant_id == version.tenant_id, AuditReport.status == ReportStatus.QUEUED)
    rows = session.execute(query.order_by(AuditReport.id))
    return next((found for found, *pair, golds in rows if version.id in {*pair, *(golds or [])}), None)


def search_for(session: Session, version: ModelVersion) -> str | None:
    """A search that is not over and rehearses on it."""
    query = select(Search.id).join(Job, Job.id == Search.job_id)
    query = query.where(Search.base_version_id == version.id, Job.status.not_in(JOB_OVER))
    return session.scalars(query.order_by(Search.id).limit(1)).first()


def job_for(session: Session, version: ModelVersion) -> str | None:
    """A job about it that is not over: its Fisher diagonal is computed."""
    query = select(Job.id).where(Job.subject_id == version.id, Job.status.not_in(JOB_OVER))
    return session.scalars(query.order_by(Job.id).limit(1)).first()


def has_another(session: Session, version: ModelVersion) -> bool:
    """The model has another version that can be deployed."""
    query = select(ModelVersion.id).where(
        ModelVersion.model_id == version.model_id,
        ModelVersion.id != version.id,
        ModelVersion.role == "candidate",
        ModelVersion.status.in_(USABLE),
    )
    return session.scalars(query.limit(1)).first() is not None


def outdated_golds(session: Session, model: Model) -> list[GoldModel]:
    """The model's gold models that may have seen something forgotten since; no later audit can take one of them."""
    kept = select(GoldModel).where(GoldModel.model_id == model.id, GoldModel.purged_at.is_(None))
    golds = session.scalars(kept.order_by(GoldModel.id)).all()
    return [gold for gold in golds if is_outdated(session, model, gold.job_id, lag=LAG)]


def is_outdated(session: Session, model: Model, job_id: str, *, lag: timedelta = timedelta(0)) -> bool:
    """Whether a gold model that this job trained may have seen something that is forgotten by now.

    It left out what its own requests are about, and what was forgotten before its job began, less `lag`. Of a feature
    that is forgotten, a sample without it may have been left in.
    """
    job = session.get_one(Job, job_id)
    since = (job.started_at or job.created_at) - lag
    gone, known = aliased(Tombstone), aliased(Tombstone)
    left_out = (
        exists()
        .where(
            known.dataset_id == gone.dataset_id,
            known.position == gone.position,
            or_(known.scope == SAMPLE, known.scope == gone.scope),
            ForgetRequest.id == known.forget_request_id,
            or_(known.forgotten_at < since, ForgetRequest.job_id == job.id),
        )
        .correlate(gone)
    )
    forgotten_since = gone.dataset_id == model.dataset_id, gone.forgotten_at >= since
    return session.scalars(select(gone.id).where(*forgotten_since, not_(left_out)).limit(1)).first() is not None


def unburied(session: Session) -> tuple[Sequence[str], Sequence[str]]:
    """The ids of the versions, and of the gold models, that are purged and whose files may still be there."""
    versions = select(ModelVersion.id).where(
        ModelVersion.status == VersionStatus.PURGED, ModelVersion.destroyed_at.is_(None)
    )
    golds = select(GoldModel.id).where(GoldModel.purged_at.is_not(None))
    return session.scalars(versions).all(), session.scalars(golds).all()


def files_of(session: Session, version: ModelVersion) -> list[Path]:
    """What goes with a version: all in its folder, and all that its row names, but for what others share."""
    named = {version.weights_path, version.fisher_path, version.initial_weights_path, version.deltas_path}
    folder = Path(version.weights_path).parent
    inside = {str(path) for path in folder.iterdir()} if folder.name == version.id and folder.is_dir() else set()
    return sorted(Path(path) for path in (named | inside) - shared(session, version) if path)


def shared(session: Session, version: ModelVersion) -> set[str | None]:
    """Initial weights and deltas of the versions that stay: those that descend from it began where it did."""
    query = select(ModelVersion.initial_weights_path, ModelVersion.deltas_path).where(
        ModelVersion.model_id == version.model_id,
        ModelVersion.id != version.id,
        ModelVersion.status != VersionStatus.PURGED,
    )
    return {path for paths in session.execute(query) for path in paths}
