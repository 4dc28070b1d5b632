"""The questions about what was forgotten that the worker asks."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.core.params import Kind
from app.tables import ForgetRequest, ModelVersion, Tombstone


def positions(session: Session, request: ForgetRequest) -> list[int]:
    """The rows of the manifest that the request covers, ascending."""
    statement = select(Tombstone.position).where(Tombstone.forget_request_id == request.id)
    return list(session.scalars(statement.order_by(Tombstone.position)))


def excluded_positions(session: Session, dataset_id: str) -> list[int]:
    """The rows that some model has forgotten, whole or in part: no retained data holds them any more, ascending."""
    statement = select(Tombstone.position).where(
        Tombstone.dataset_id == dataset_id, Tombstone.forgotten_at.is_not(None)
    )
    return list(session.scalars(statement.distinct().order_by(Tombstone.position)))


def lineage(session: Session, version: ModelVersion) -> list[str]:
    """The ids of a version and of all that it descends from."""
    found, parent = [version.id], version.parent_id
    while parent is not None and parent not in found:
        found.append(parent)
        parent = session.scalar(select(ModelVersion.parent_id).where(ModelVersion.id == parent))
    return found


def methods_behind(session: Session, version: ModelVersion) -> frozenset[str]:
    """The names of the methods that a version, and those that it descends from, came out of."""
    made = select(ForgetRequest.method).where(ForgetRequest.result_version_id.in_(lineage(session, version)))
    return frozenset(method["name"] for method in session.scalars(made))


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
