"""Life cycles: the states of every resource and the arrows between them."""

from collections.abc import Mapping
from enum import StrEnum


class RequestStatus(StrEnum):
    """A forget request."""

    RECEIVED = "received"
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    RUNNING = "running"
    VERIFYING = "verifying"
    AWAITING_RELEASE = "awaiting_release"
    COMPLETED = "completed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """One piece of work on a worker."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    LOST = "lost"


class DatasetStatus(StrEnum):
    """A registered data set."""

    VALIDATING = "validating"
    READY = "ready"
    INVALID = "invalid"


class VersionStatus(StrEnum):
    """A model version.

    Held: made by a request whose model's policy has not released it; it cannot be deployed. Superseded: ready, but an
    alias has moved on to what a forget request has made of it. Purged: its files are destroyed, or about to be.
    """

    VALIDATING = "validating"
    HELD = "held"
    READY = "ready"
    INVALID = "invalid"
    SUPERSEDED = "superseded"
    PURGED = "purged"


class ReportStatus(StrEnum):
    """An audit report. That of a forget request is born completed."""

    QUEUED = "queued"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryStatus(StrEnum):
    """A message to a webhook."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class JobKind(StrEnum):
    """What a job does: each is one story of the worker's pipeline."""

    DATASET_VALIDATION = "dataset_validation"
    VERSION_VALIDATION = "version_validation"
    FISHER = "fisher"
    UNLEARNING = "unlearning"
    SEARCH = "search"
    AUDIT = "audit"


R, J, D, V, A, M = RequestStatus, JobStatus, DatasetStatus, VersionStatus, ReportStatus, DeliveryStatus

REQUEST_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    R.RECEIVED: frozenset({R.AWAITING_APPROVAL, R.QUEUED, R.CANCELLED}),
    R.AWAITING_APPROVAL: frozenset({R.QUEUED, R.REJECTED, R.CANCELLED}),
    R.QUEUED: frozenset({R.RUNNING, R.CANCELLING, R.CANCELLED, R.FAILED}),
    R.RUNNING: frozenset({R.VERIFYING, R.QUEUED, R.CANCELLING, R.FAILED}),
    R.VERIFYING: frozenset({R.COMPLETED, R.AWAITING_RELEASE, R.RUNNING, R.QUEUED, R.CANCELLING, R.FAILED}),
    R.AWAITING_RELEASE: frozenset({R.COMPLETED, R.REJECTED, R.CANCELLED}),
    R.CANCELLING: frozenset({R.CANCELLED, R.COMPLETED, R.FAILED}),
    R.COMPLETED: frozenset(),
    R.REJECTED: frozenset(),
    R.FAILED: frozenset(),
    R.CANCELLED: frozenset(),
}
JOB_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    J.QUEUED: frozenset({J.RUNNING, J.CANCELLED, J.LOST}),
    J.RUNNING: frozenset({J.SUCCEEDED, J.FAILED, J.CANCELLING, J.QUEUED, J.LOST, J.RUNNING}),
    J.CANCELLING: frozenset({J.CANCELLED, J.SUCCEEDED, J.FAILED}),
    J.SUCCEEDED: frozenset(),
    J.FAILED: frozenset(),
    J.CANCELLED: frozenset(),
    J.LOST: frozenset(),
}
DATASET_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    D.VALIDATING: frozenset({D.READY, D.INVALID}),
    D.READY: frozenset(),
    D.INVALID: frozenset(),
}
VERSION_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    V.VALIDATING: frozenset({V.READY, V.INVALID}),
    V.HELD: frozenset({V.READY, V.PURGED}),
    V.READY: frozenset({V.SUPERSEDED, V.PURGED}),
    V.SUPERSEDED: frozenset({V.READY, V.PURGED}),  # ready again when an alias points to it again
    V.INVALID: frozenset({V.PURGED}),
    V.PURGED: frozenset(),
}
USABLE = frozenset({V.READY, V.SUPERSEDED})
"""Versions whose weights were found good, and are there."""
REPORT_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    A.QUEUED: frozenset({A.COMPLETED, A.FAILED, A.CANCELLED}),
    A.COMPLETED: frozenset(),
    A.FAILED: frozenset(),
    A.CANCELLED: frozenset(),
}
DELIVERY_ARROWS: Mapping[StrEnum, frozenset[StrEnum]] = {
    M.PENDING: frozenset({M.DELIVERED, M.FAILED}),
    M.DELIVERED: frozenset({M.PENDING}),  # sent again because somebody asked
    M.FAILED: frozenset({M.PENDING}),
}
ARROWS: Mapping[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    R: REQUEST_ARROWS,
    J: JOB_ARROWS,
    D: DATASET_ARROWS,
    V: VERSION_ARROWS,
    A: REPORT_ARROWS,
    M: DELIVERY_ARROWS,
}


class ForbiddenArrow(ValueError):
    """A programming error: the life cycle has no such arrow."""


def check_arrow(source: StrEnum, target: StrEnum) -> None:
    """Raise unless the life cycle of these states has an arrow from source to target."""
    if target not in ARROWS[type(source)][source]:
        raise ForbiddenArrow(f"{type(source).__name__}: no arrow from {source} to {target}")


def is_final(status: StrEnum) -> bool:
    """No arrow leads out of it."""
    return not ARROWS[type(status)][status]
