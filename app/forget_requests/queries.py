"""The questions about what was forgotten that the worker asks."""

from collections.abc import Sequence

from sqlalchemy import exists, func, not_, select
from sqlalchemy.orm import Session

from app.core.params import Kind
from app.domain.lifecycle import USABLE, RequestStatus, is_final
from app.models.queries import lineage
from app.tables import Alias, AliasChange, AuditReport, ForgetRequest, ModelVersion, Tombstone

OVER = tuple(status for status in RequestStatus if is_final(status))


def batch(session: Session, job_id: str, *, lock: bool = True) -> Sequence[ForgetRequest]:
    """The requests that a job carries out together, oldest first: those that are not over, as they stand now."""
    query = select(ForgetRequest).where(ForgetRequest.job_id == job_id, ForgetRequest.status.not_in(OVER))
    query = query.order_by(ForgetRequest.id).execution_options(populate_existing=True)
    return session.scalars(query.with_for_update() if lock else query).all()


def batch_size(session: Session, job_id: str) -> int:
    """How many requests are to be carried out by a job."""
    query = select(func.count()).where(ForgetRequest.job_id == job_id, ForgetRequest.status.not_in(OVER))
    return session.scalar(query) or 0


def positions_by_request(session: Session, job_id: str) -> dict[str, list[int]]:
    """The rows of the manifest that each request of a job covers, ascending."""
    query = (
        select(Tombstone.forget_request_id, Tombstone.position)
        .join(ForgetRequest, ForgetRequest.id == Tombstone.forget_request_id)
        .where(ForgetRequest.job_id == job_id)
        .order_by(Tombstone.position)
    )
    found = dict[str, list[int]]()
    for request_id, position in session.execute(query):
        found.setdefault(request_id, []).append(position)
    return found


def undeployed_child(session: Session, alias: Alias, version_id: str) -> str | None:
    """The newest version that a request by the alias made of this one, if the next request may build on it.

    One that shows a trace is not built on, nor one that the alias has pointed to and was taken back from.
    """
    made = (
        exists()
        .where(
            ForgetRequest.result_version_id == ModelVersion.id,
            ForgetRequest.alias == alias.name,
            ForgetRequest.status == RequestStatus.COMPLETED,
            AuditReport.forget_request_id == ForgetRequest.id,
            AuditReport.verdict != "trace_found",
        )
        .correlate(ModelVersion)
    )
    shown = exists().where(AliasChange.alias_id == alias.id, AliasChange.version_id == ModelVersion.id)
    query = select(ModelVersion.id).where(
        ModelVersion.parent_id == version_id,
        ModelVersion.model_id == alias.model_id,
        ModelVersion.status.in_(USABLE),
        made,
        not_(shown.correlate(ModelVersion)),
    )
    return session.scalar(query.order_by(ModelVersion.number.desc()).limit(1))


def excluded_positions(session: Session, dataset_id: str) -> list[int]:
    """The rows that some model has forgotten, whole or in part: no retained data holds them any more, ascending."""
    statement = select(Tombstone.position).where(
        Tombstone.dataset_id == dataset_id, Tombstone.forgotten_at.is_not(None)
    )
    return list(session.scalars(statement.distinct().order_by(Tombstone.position)))


def methods_behind(session: Session, version: ModelVersion) -> frozenset[str]:
    """The names of the methods that a version, and those that it descends from, came out of."""
    results = ForgetRequest.result_version_id
    of_each = select(func.min(ForgetRequest.id)).where(results.in_(lineage(session, version))).group_by(results)
    made = session.scalars(select(ForgetRequest.method).where(ForgetRequest.id.in_(of_each)))  # one of a batch is all
    return frozenset(method["name"] for method in made)


def forgotten_classes(session: Session, version: ModelVersion) -> list[int]:
    """The labels of the classes that a version, or one that it descends from, has forgotten, ascending."""
    sealed = exists().where(Tombstone.forget_request_id == ForgetRequest.id, Tombstone.forgotten_at.is_not(None))
    targets = session.scalars(
        select(ForgetRequest.target).where(
            ForgetRequest.kind == Kind.CLASS.value,
            ForgetRequest.result_version_id.in_(lineage(session, version)),
            sealed,
        )
    )
    return sorted({target["label"] for target in targets})
