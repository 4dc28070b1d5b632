"""What a webhook can be told of: the actions of the audit log, so that nothing happens that cannot be heard of."""

from collections.abc import Mapping
from enum import StrEnum

from app.domain.lifecycle import DatasetStatus, JobStatus, ReportStatus, RequestStatus, VersionStatus

STATES: Mapping[str, type[StrEnum]] = {
    "forget_request": RequestStatus,
    "job": JobStatus,
    "dataset": DatasetStatus,
    "version": VersionStatus,
    "audit_report": ReportStatus,
}
MORE = frozenset(
    {
        "forget_request.approve",
        "forget_request.reject",
        "forget_request.release",
        "forget_request.extend",
        "forget_request.due_soon",
        "forget_request.shredded",
        "version.purge",
        "version.destroyed",
        "gold_model.destroyed",
        "alias.pointed",
        "model.policy",
        "audit_log.broken",
    }
)
"""Of what has no states, or is no change of one."""
TEST = "webhook.test"
SINGLE = MORE | {f"{resource}.{state}" for resource, states in STATES.items() for state in states}
EVENTS = SINGLE | {f"{event.partition('.')[0]}.*" for event in SINGLE}


def wanted(event: str, events: list[str]) -> bool:
    """Whether somebody who asked for these is told of it."""
    return event in events or f"{event.partition('.')[0]}.*" in events
