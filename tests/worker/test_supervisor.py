import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.db import now, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.jobs import service as jobs
from app.tables import Job
from tests.conftest import add_tenant, sqlite_home
from tests.worker.made_up import CHILD, follow
from tests.worker.waiting import enqueue, events, row, until, until_status
from worker.supervisor import Supervisor


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[None]:
    with sqlite_home(tmp_path_factory.mktemp("supervisor"), sqlite_template):
        add_tenant()
        yield


@pytest.fixture(scope="module")
def supervisor(_home: None) -> Iterator[Supervisor]:
    made = Supervisor(get_settings(), follow, CHILD)
    yield made
    made.close()


def start(supervisor: Supervisor, job: Job) -> threading.Thread:
    thread = threading.Thread(target=supervisor.run, args=(job.id,))
    thread.start()
    return thread


def cancel(job: Job) -> None:
    with transaction() as session:
        jobs.cancel(session, job)


def test_a_job_is_done_and_leaves_nothing_behind(supervisor: Supervisor) -> None:
    job = enqueue("succeed")
    assert supervisor.run(job.id)
    done = row(job)
    assert (done.status, done.attempt) == (JobStatus.SUCCEEDED, 1)
    assert done.progress == {"phase": "count", "completed": 1, "total": 2, "unit": "steps", "message": None}
    assert [event.data for event in events(job, "note")] == [{"name": "counted", "value": 2}]
    assert not (get_settings().runs / job.id).exists()
    assert not supervisor.run(job.id)


def test_an_expected_failure_is_final_with_its_code_and_sentence(supervisor: Supervisor) -> None:
    job = enqueue("fail")
    supervisor.run(job.id)
    failed = row(job)
    assert (failed.status, failed.status_reason) == (JobStatus.FAILED, "non_finite")
    assert failed.status_detail == "the loss became NaN"


def test_a_killed_attempt_is_followed_by_one_that_resumes(supervisor: Supervisor) -> None:
    job = enqueue("resume_after_kill")
    supervisor.run(job.id)
    killed = row(job)
    assert (killed.status, killed.status_reason) == (JobStatus.QUEUED, "crashed")
    supervisor.run(job.id)
    assert (row(job).status, row(job).attempt) == (JobStatus.SUCCEEDED, 2)
    assert events(job, "note")[0].data["value"] == "[1.0, 2.0] 7"


def test_what_crashes_again_and_again_is_lost_with_its_traceback(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_attempt = get_settings().model_copy(update={"max_attempts": 1})
    monkeypatch.setattr(jobs, "get_settings", lambda: one_attempt)
    job = enqueue("crash")
    supervisor.run(job.id)
    lost = row(job)
    assert (lost.status, lost.status_reason) == (JobStatus.LOST, "crashed")
    assert lost.status_detail == "The process of the attempt ended with status 70."
    assert "RuntimeError: out of luck" in events(job, "log")[0].data["stderr"]


def test_a_cancelled_job_stops_by_itself(supervisor: Supervisor) -> None:
    job = enqueue("listen")
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    cancel(job)
    assert until_status(job, JobStatus.CANCELLED) < 2
    thread.join()
    assert events(job, "log") == []


def test_a_deaf_one_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.supervisor.GRACE_SECONDS", 0.3)
    job = enqueue("deaf")
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    child = next(iter(supervisor._children))
    cancel(job)
    assert until_status(job, JobStatus.CANCELLED) < 3
    thread.join()
    assert not child.alive


def test_an_attempt_whose_job_was_given_away_is_killed(supervisor: Supervisor) -> None:
    job = enqueue("deaf")
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    child = next(iter(supervisor._children))
    with transaction() as session:
        session.get_one(Job, job.id).lease_until = now(session) - timedelta(seconds=1)
    with transaction() as session:
        assert jobs.claim(session, job.id, owner="another")
    thread.join(10)
    assert not child.alive
    assert (row(job).status, row(job).owner) == (JobStatus.RUNNING, "another")


def test_the_lease_is_renewed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    short = get_settings().model_copy(update={"lease_seconds": 1})
    monkeypatch.setattr(jobs, "get_settings", lambda: short)
    monkeypatch.setattr(supervisor, "_settings", short)
    job = enqueue("listen")
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    claimed_until = row(job).lease_until
    assert claimed_until is not None
    until(lambda: (row(job).lease_until or claimed_until) > claimed_until + timedelta(seconds=1))
    with transaction() as session:
        assert jobs.reap(session) == []
    cancel(job)
    thread.join()


def test_a_closed_supervisor_gives_its_jobs_back() -> None:
    supervisor = Supervisor(get_settings(), follow, CHILD)
    job = enqueue("deaf")
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    supervisor.close()
    thread.join(10)
    assert (row(job).status, row(job).status_reason) == (JobStatus.QUEUED, "worker_stopped")


def test_a_child_dies_with_its_supervisor(supervisor: Supervisor) -> None:
    spare = supervisor.warm()
    assert spare is not None
    assert spare.ready.wait(30)
    assert spare._process.stdin is not None
    spare._process.stdin.close()  # what the kernel does when the supervisor is killed
    assert spare.wait(5) == 1


def test_a_dead_spare_is_replaced(supervisor: Supervisor) -> None:
    spare = supervisor.warm()
    assert spare is not None
    os.kill(spare.pid, signal.SIGKILL)
    spare.wait(5)
    job = enqueue("succeed")
    supervisor.run(job.id)
    assert row(job).status is JobStatus.SUCCEEDED
