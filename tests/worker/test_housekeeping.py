"""Nothing of an attempt outlives its job."""

from app.core.db import transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind
from app.jobs import service as jobs
from app.tables import Job, Tenant
from worker.housekeeping import sweep


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
