"""The questions about what was forgotten that the worker asks."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.params import Kind
from app.domain.lifecycle import RequestStatus
from app.tables import ForgetRequest, Tombstone


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


def forgotten_classes(session: Session, model_id: str) -> list[int]:
    """The labels of the classes that the model has forgotten, ascending."""
    targets = session.scalars(
        select(ForgetRequest.target).where(
            ForgetRequest.model_id == model_id,
            ForgetRequest.kind == Kind.CLASS.value,
            ForgetRequest.status == RequestStatus.COMPLETED,
        )
    )
    return sorted({target["label"] for target in targets})
