"""Nothing of an attempt outlives its job, and what happened is told."""

import threading

import pytest

from app.core.db import transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind
from app.jobs import service as jobs
from app.tables import Job, Tenant
from worker.housekeeping import Housekeeping, sweep


def test_folders_of_jobs_that_are_over_are_removed_and_no_others(tenant: Tenant) -> None:
    made: list[Job] = []
    with transaction() as session:
        for number in range(2):
            job = jobs.enqueue(
                session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id=f"mv_{number}", actor="test"
            )
            made.append(job)
        jobs.cancel(session, made[0])
    runs = get_settings().runs
    for name in (made[0].id, made[1].id, "job_of_another_service"):
        (runs / name / "1").mkdir(parents=True)
        (runs / name / "1" / "index.parquet").touch()
    sweep(runs)
    assert {folder.name for folder in runs.iterdir()} == {made[1].id, "job_of_another_service"}


@pytest.mark.usefixtures("tenant")
def test_webhooks_are_told_by_a_thread_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told, names = threading.Event(), set[str]()

    def deliver() -> int:
        names.add(threading.current_thread().name)
        told.set()
        return 0

    monkeypatch.setattr("worker.housekeeping.webhooks.deliver_due", deliver)
    housekeeping = Housekeeping(lambda *_: None)
    housekeeping.start()
    assert told.wait(60)
    housekeeping.stop()
    assert names == {"webhooks"}
