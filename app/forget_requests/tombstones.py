"""Tombstones: which samples are spoken for, by which request, and which are forgotten for ever."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import String, and_, cast, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.db import listed, now
from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.params import FEATURE_KINDS, Kind
from app.domain.lifecycle import RequestStatus, VersionStatus
from app.models.queries import lineage
from app.tables import AuditReport, ForgetRequest, ModelVersion, Tombstone
from app.tables.base import utcnow

SAMPLE, FEATURE = "sample", "feature"
PART = 5000
"""Ids in one statement: databases limit their number."""

COME_TO_NOTHING = frozenset({RequestStatus.REJECTED, RequestStatus.FAILED, RequestStatus.CANCELLED})
"""Requests that hold no tombstone."""

T = TypeVar("T")


def scope_of(kind: str) -> str:
    """What a request of this kind takes: the whole sample, or something in it."""
    return FEATURE if Kind(kind) in FEATURE_KINDS else SAMPLE


def not_yet_claimed(
    session: Session, base: ModelVersion, dataset_id: str, positions: Sequence[int], kind: Kind
) -> tuple[list[int], Counter[str]]:
    """What is left of the positions, and how many of them earlier requests cover.

    Covered is what a request in flight has claimed, and what has been forgotten without a trace found by a version that
    the base descends from, or that descends from the base: then that one is to be deployed, unless it is purged.
    """
    wanted = (
        select(Tombstone.position, Tombstone.forget_request_id, Tombstone.forgotten_at, ForgetRequest.result_version_id)
        .join(ForgetRequest, ForgetRequest.id == Tombstone.forget_request_id)
        .outerjoin(AuditReport, AuditReport.forget_request_id == ForgetRequest.id)
        .where(
            Tombstone.model_id == base.model_id,
            Tombstone.dataset_id == dataset_id,
            Tombstone.scope.in_({SAMPLE, scope_of(kind)}),
            or_(Tombstone.forgotten_at.is_(None), func.coalesce(AuditReport.verdict, "") != "trace_found"),
        )
    )
    # By position: what else of the model is spoken for may be a million rows.
    claims = session.execute(wanted.where(Tombstone.position.in_(listed(session, positions)))).all()
    results = {row.result_version_id for row in claims if row.forgotten_at is not None}
    related = {result for result in results if _related(session, base, result)}
    owners: dict[int, str] = {
        row.position: row.forget_request_id
        for row in claims
        if row.forgotten_at is None or row.result_version_id in related
    }
    free = [position for position in positions if position not in owners]
    covered = Counter(owners[position] for position in positions if position in owners)
    if not free:
        raise _nothing_left(session, covered)
    return free, covered


def claim(session: Session, request: ForgetRequest, positions: Sequence[int]) -> None:
    """Take the samples; the unique index decides between two who come at once."""
    rows = listed(session, positions).subquery()
    row = {
        "id": literal(f"{new_id('ts')}_") + cast(rows.c.value, String),
        "tenant_id": literal(request.tenant_id),
        "model_id": literal(request.model_id),
        "dataset_id": literal(request.dataset_id),
        "forget_request_id": literal(request.id),
        "scope": literal(scope_of(request.kind)),
        "created_at": literal(utcnow(), Tombstone.created_at.type),
        "position": rows.c.value,
    }
    try:
        session.execute(insert(Tombstone).from_select(list(row), select(*row.values()), include_defaults=False))
    except IntegrityError:
        raise Conflict(
            "Another request took some of these samples just now; ask again to see which are left.",
            code="already_requested",
            retryable=True,
        ) from None


def something_stays(session: Session, model_id: str, dataset_id: str, positions: Sequence[int], trained: int) -> bool:
    """Whether retained data would be left of so many training samples, if these went too.

    Counts what some model has forgotten, and what this one is about to forget as whole samples.
    """
    asked = select(func.sum(ForgetRequest.sample_count)).where(
        ForgetRequest.dataset_id == dataset_id, ForgetRequest.status.not_in(COME_TO_NOTHING)
    )
    if (session.scalar(asked) or 0) + len(positions) < trained:
        return True  # by far the most frequent case; only near the end need tombstones be counted, none of them twice
    forgotten = and_(Tombstone.dataset_id == dataset_id, Tombstone.forgotten_at.is_not(None))
    in_flight = and_(
        Tombstone.model_id == model_id,
        Tombstone.dataset_id == dataset_id,
        Tombstone.scope == SAMPLE,
        Tombstone.forgotten_at.is_(None),
    )
    gone = session.scalars(select(Tombstone.position).where(or_(forgotten, in_flight)).distinct())
    return len({*gone, *positions}) < trained


def release(session: Session, requests: Sequence[ForgetRequest]) -> None:
    """The requests come to nothing: others may ask for their samples."""
    for ids in _parts([request.id for request in requests]):
        session.execute(delete(Tombstone).where(Tombstone.forget_request_id.in_(ids), Tombstone.forgotten_at.is_(None)))


def seal(session: Session, requests: Sequence[ForgetRequest]) -> None:
    """Forgotten, for ever: by the database's clock, as the beginnings of jobs are."""
    at = now(session)
    for ids in _parts([request.id for request in requests]):
        session.execute(update(Tombstone).where(Tombstone.forget_request_id.in_(ids)).values(forgotten_at=at))


def _nothing_left(session: Session, covered: Counter[str]) -> Conflict:
    requests = session.scalars(select(ForgetRequest).where(ForgetRequest.id.in_(covered)).order_by(ForgetRequest.id))
    found = list(requests)
    waiting = [request for request in found if request.status is not RequestStatus.COMPLETED]
    request = (waiting or found)[-1]
    headers = {"Location": f"/forget-requests/{request.id}"}
    if waiting:
        return Conflict(
            "An earlier request that is not finished covers all of it; follow that one.",
            code="already_requested",
            headers=headers,
            forget_request=request.id,
        )
    return Conflict(
        f"It is forgotten already, in version {request.result_version_id}: deploy that one, or a descendant.",
        code="already_forgotten",
        headers=headers,
        forget_request=request.id,
        version=request.result_version_id,
    )


def _related(session: Session, base: ModelVersion, result_id: str) -> bool:
    result = session.get_one(ModelVersion, result_id)
    if result_id in lineage(session, base):
        return True
    return result.status is not VersionStatus.PURGED and base.id in lineage(session, result)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[first : first + PART] for first in range(0, len(items), PART))
