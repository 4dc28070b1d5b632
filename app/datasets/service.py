"""Registering a data set, and what its validation found."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Conflict, Invalid, NotFound, invalid_field
from app.core.ids import new_id
from app.core.params import InputKind
from app.datasets.paths import parquet_files, permitted
from app.datasets.schemas import DatasetIn, DatasetOut
from app.domain.lifecycle import DatasetStatus, JobKind, JobStatus, check_arrow
from app.jobs import service as jobs
from app.tables import Dataset, Job
from app.web.pages import Page, Paging, fetch
from app.web.text import is_id

CAME_TO_NOTHING = frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.LOST})


def register(session: Session, wish: DatasetIn, *, tenant_id: str, actor: str) -> Dataset:
    """Register a data set and have it validated."""
    path = permitted(wish.path, pointer="/path")
    if path.is_dir() and not parquet_files(path):
        raise invalid_field("/path", "The folder holds no .parquet file.", code="path_not_found")
    dataset = Dataset(
        id=new_id("ds"),
        tenant_id=tenant_id,
        name=wish.name,
        path=str(path),
        columns=wish.columns.model_dump(),
        classes=wish.classes,
        status=DatasetStatus.VALIDATING,
    )
    _insert(session, dataset)
    _record(session, dataset, actor)
    job = jobs.enqueue(
        session, tenant_id=tenant_id, kind=JobKind.DATASET_VALIDATION, subject_id=dataset.id, actor=actor
    )
    dataset.job_id = job.id
    session.flush()
    return dataset


def get(session: Session, ref: str, *, tenant_id: str) -> Dataset:
    """One data set of the tenant, by name or id."""
    dataset = find(session, ref, tenant_id=tenant_id)
    if dataset is None:
        raise NotFound("There is no such data set.", code="no_such_dataset")
    return dataset


def find(session: Session, ref: str, *, tenant_id: str) -> Dataset | None:
    """One data set of the tenant, by name or id, if there is one."""
    key = Dataset.id if is_id("ds", ref) else Dataset.name
    return session.scalar(select(Dataset).where(key == ref, Dataset.tenant_id == tenant_id))


def ready(session: Session, ref: str, *, tenant_id: str, pointer: str) -> Dataset:
    """The data set that a field of a body names, fit to be used."""
    dataset = find(session, ref, tenant_id=tenant_id)
    if dataset is None:
        raise invalid_field(pointer, "There is no such data set.", code="unknown_dataset")
    if dataset.status is DatasetStatus.VALIDATING:
        raise Conflict("The data set is still being validated.", code="dataset_not_ready", retryable=True)
    if dataset.status is DatasetStatus.INVALID:
        raise invalid_field(pointer, "The data set was found invalid; its status says why.", code="dataset_invalid")
    return dataset


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[DatasetOut]:
    """The tenant's data sets."""
    statement = select(Dataset).where(Dataset.tenant_id == tenant_id)
    return fetch(session, statement, Dataset.id, paging, DatasetOut.model_validate)


def settle(
    session: Session,
    dataset_id: str,
    *,
    sha256: str,
    rows: int,
    input_kind: InputKind,
    input_shape: Sequence[int],
    counts: Mapping[str, Mapping[str, int]],
    index_path: str,
) -> Dataset:
    """Validation found it good."""
    dataset = session.get_one(Dataset, dataset_id)
    dataset.sha256 = sha256
    dataset.rows = rows
    dataset.input_kind = input_kind
    dataset.input_shape = list(input_shape)
    dataset.counts = {split: dict(by_class) for split, by_class in counts.items()}
    dataset.index_path = index_path
    transition(session, dataset, DatasetStatus.READY)
    return dataset


def reject(session: Session, dataset_id: str, code: str, detail: str) -> Dataset:
    """Validation found it bad."""
    dataset = session.get_one(Dataset, dataset_id)
    transition(session, dataset, DatasetStatus.INVALID, reason=code, detail=detail)
    return dataset


def follow(session: Session, job: Job, *, actor: str = "worker") -> None:
    """A validation that came to nothing leaves no data set waiting for ever."""
    dataset = session.get(Dataset, job.subject_id)
    if dataset is None or job.status not in CAME_TO_NOTHING or dataset.status is not DatasetStatus.VALIDATING:
        return
    reason = (job.status is JobStatus.FAILED and job.status_reason) or f"validation_{job.status.value}"
    transition(session, dataset, DatasetStatus.INVALID, reason=reason, detail=job.status_detail, actor=actor)


def transition(
    session: Session,
    dataset: Dataset,
    status: DatasetStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
) -> None:
    """Along one arrow of the life cycle, written down."""
    check_arrow(dataset.status, status)
    dataset.status, dataset.status_reason, dataset.status_detail = status, reason, detail
    session.flush()
    _record(session, dataset, actor)


def _insert(session: Session, dataset: Dataset) -> None:
    try:
        with session.begin_nested():
            session.add(dataset)
    except IntegrityError:
        raise Conflict("A data set of this name exists.", code="name_taken") from None


def _record(session: Session, dataset: Dataset, actor: str) -> None:
    data: dict[str, Any] = {"status": dataset.status.value, "reason": dataset.status_reason}
    action = f"dataset.{dataset.status.value}"
    audit_log.record(session, tenant_id=dataset.tenant_id, actor=actor, action=action, resource=dataset.id, data=data)


def unknown(pointer: str, what: str, places: Sequence[int], *, code: str) -> Invalid:
    """Some of a list are wrong: how many and where they stand, never which they are."""
    first = ", ".join(str(place) for place in places[:5])
    return invalid_field(
        pointer,
        f"{len(places)} {what}; the first at positions {first}.",
        code=code,
        count=len(places),
        positions=list(places[:5]),
    )
