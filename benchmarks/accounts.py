"""The account of a run with faults: what was asked, what is there in the end, and what does not agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Found:
    """One forget request as it stands in the end."""

    external_id: str
    status: str
    final: bool
    version_ids: tuple[str, ...]
    """The versions that its job published."""
    report_ids: tuple[str, ...]
    weights_sha256: str | None
    """Of the file that its result names, as it lies there."""


@dataclass(frozen=True)
class Account:
    """Which requests did not end as they must, by what became of them. Each list holds the caller's own references."""

    asked: int
    lost: list[str]
    """There is no such request, or it came to an end without a result."""
    twice: list[str]
    """It exists more than once, or has another number of results or reports than one."""
    stuck: list[str]
    """It has come to no end."""
    different: list[str]
    """Its weights are not those of the undisturbed run."""

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.twice or self.stuck or self.different)


def settle(expected: Mapping[str, str], found: Sequence[Found]) -> Account:
    """Compare.

    Args:
        expected: the digest of the undisturbed result, by the reference of each request that a caller submitted.
        found: every request that the service has.
    """
    by_reference: dict[str, list[Found]] = {reference: [] for reference in expected}
    for request in found:
        by_reference.setdefault(request.external_id, []).append(request)
    lost, twice, stuck, different = [], [], [], []
    for reference, requests in by_reference.items():
        if not requests or any(request.final and request.status != "completed" for request in requests):
            lost.append(reference)
        if any(not request.final for request in requests):
            stuck.append(reference)
        if len(requests) > 1 or any(_published_wrongly(request) for request in requests):
            twice.append(reference)
        digests = {request.weights_sha256 for request in requests if request.status == "completed"}
        if digests - {expected.get(reference)}:
            different.append(reference)
    return Account(len(expected), lost, twice, stuck, different)


def _published_wrongly(request: Found) -> bool:
    results = (len(request.version_ids), len(request.report_ids))
    return results != (1, 1) if request.status == "completed" else results != (0, 0)


def running_again(transitions: Sequence[Mapping[str, Any]], attempt: int) -> str | None:
    """When a job was running again after an attempt that a fault ended; None if that attempt saw it through.

    Args:
        transitions: of the job, as the service wrote them down.
        attempt: the one that ran when the fault struck.
    """
    later = (step["at"] for step in transitions if step["status"] == "running" and step["attempt"] > attempt)
    return next(later, None)


def spread(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Median and maximum, and of how many."""
    return {
        "median": round(median(seconds), 3) if seconds else None,
        "max": round(max(seconds), 3) if seconds else None,
        "measured": len(seconds),
    }
