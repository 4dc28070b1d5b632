"""The duties are done by one process, and none of them stops the others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError

from app import scheduler
from app.core import processes
from app.core.db import transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service as jobs
from app.scheduler import Duty, Reaper, Scheduler, sweep
from app.tables import Job, Tenant
from tests.worker.waiting import row, until


def enqueue(tenant: Tenant) -> Job:
    with transaction() as session:
        return jobs.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="test")


def claim(job: Job, owner: str) -> None:
    with transaction() as session:
        assert jobs.claim(session, job.id, owner=owner) is not None


@contextmanager
def running(*duties: Duty, owner: str | None = None) -> Iterator[Scheduler]:
    made = Scheduler(duties)
    made._owner = owner or made._owner
    made.start()
    try:
        yield made
    finally:
        made.stop()


def counting(counts: dict[str, int], name: str) -> Callable[[], None]:
    def once() -> None:
        counts[name] = counts.get(name, 0) + 1

    return once


def test_folders_of_jobs_that_are_over_are_removed_and_no_others(tenant: Tenant) -> None:
    made = [enqueue(tenant) for _ in range(2)]
    with transaction() as session:
        jobs.cancel(session, made[0])
    runs = get_settings().runs
    for name in (made[0].id, made[1].id, "job_of_another_service"):
        (runs / name / "1").mkdir(parents=True)
        (runs / name / "1" / "index.sqlite").touch()
    sweep(runs)
    assert {folder.name for folder in runs.iterdir()} == {made[1].id, "job_of_another_service"}


@pytest.mark.usefixtures("tenant")
def test_a_duty_that_raises_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    counts: dict[str, int] = {}

    def breaks() -> None:
        counting(counts, "breaks")()
        raise RuntimeError("out of luck")

    with running(Duty("breaks", 0.01, breaks), Duty("works", 0.01, counting(counts, "works"))):
        until(lambda: min(counts.get("breaks", 0), counts.get("works", 0)) > 2)
    assert "breaks failed" in caplog.text
    assert "out of luck" in caplog.text


@pytest.mark.usefixtures("tenant")
def test_of_two_schedulers_one_works_and_the_other_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "RENEW_SECONDS", 0.05)
    counts: dict[str, int] = {}
    with running(Duty("one", 0.01, counting(counts, "one")), owner="one"):
        until(lambda: counts.get("one", 0) > 0)
        with running(Duty("two", 0.01, counting(counts, "two")), owner="two") as second:
            seen = counts["one"]
            until(lambda: counts["one"] > seen + 20)
            assert "two" not in counts
            assert not second.holding
            monkeypatch.setattr(processes, "is_dead", lambda owner: owner == "one")  # it was killed
            until(lambda: counts.get("two", 0) > 0)
            assert second.holding


def test_the_jobs_of_a_dead_worker_are_taken_back_at_once(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, alive = enqueue(tenant), enqueue(tenant)
    claim(gone, "gone")
    claim(alive, processes.identity())
    monkeypatch.setattr(processes, "is_dead", lambda owner: owner == "gone")
    Reaper()()
    assert (row(gone).status, row(gone).status_reason) == (JobStatus.QUEUED, "worker_died")
    assert row(alive).status is JobStatus.RUNNING


def test_after_an_outage_supervisors_may_renew_their_leases_before_anything_is_taken(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, reaper = enqueue(tenant), Reaper()
    claim(job, "gone")
    monkeypatch.setattr(processes, "is_dead", lambda owner: owner == "gone")

    def away() -> None:
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    with monkeypatch.context() as outage:
        outage.setattr(scheduler, "reading", away)
        with pytest.raises(OperationalError):
            reaper()
    reaper()
    assert row(job).status is JobStatus.RUNNING
    reaper._pardon_until = 0
    reaper()
    assert row(job).status is JobStatus.QUEUED


def test_a_reaper_with_nothing_to_do_takes_no_write_lock(tenant: Tenant) -> None:
    claim(enqueue(tenant), processes.identity())
    enqueue(tenant)
    with transaction():  # on SQLite nobody else could write
        thread = threading.Thread(target=Reaper())
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
