import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from app.core import processes
from app.core.db import now, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.jobs import service as jobs
from app.tables import Job
from app.tables.base import utcnow
from tests.conftest import add_tenant, sqlite_home
from tests.worker.made_up import CHILD, follow
from tests.worker.waiting import enqueue, events, row, until, until_status
from worker import supervisor as supervisor_module
from worker.children import Children
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
    assert "RuntimeError: out of luck" in events(job, "attempt")[0].data["stderr"]


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
    thread.join(60)
    assert not child.alive
    assert (row(job).status, row(job).owner) == (JobStatus.RUNNING, "another")


def test_the_lease_is_renewed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    short = get_settings().model_copy(update={"lease_seconds": 3})
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
    thread.join(60)
    given_back = row(job)
    assert (given_back.status, given_back.status_reason) == (JobStatus.QUEUED, "worker_stopped")
    assert (given_back.attempt, given_back.excused, given_back.not_before) == (1, 1, None)  # it may begin again at once


def limited(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    monkeypatch.setattr(supervisor, "_settings", get_settings().model_copy(update=limits))


def ripe(job: Job) -> Job:
    """The job, once its pause is over."""
    with transaction() as session:
        session.get_one(Job, job.id).not_before = None
    return job


def test_what_an_attempt_used_and_how_it_ended_is_written_down(supervisor: Supervisor) -> None:
    job = enqueue("resume_after_kill")
    supervisor.run(job.id)
    supervisor.run(job.id)
    killed, done = (event.data for event in events(job, "attempt"))
    assert (killed["attempt"], killed["status"], killed["signal"]) == (1, -9, "SIGKILL")
    assert (done["attempt"], done["status"], done["signal"]) == (2, 0, None)
    for used in (killed, done):
        assert used["peak_rss_bytes"] > 50_000_000  # it has imported torch
        assert 0.01 < used["cpu_seconds"] < 2  # and not for that: it was forked


def test_seconds_are_those_of_all_attempts(supervisor: Supervisor) -> None:
    job = enqueue("resume_after_kill")
    supervisor.run(job.id)
    with transaction() as session:
        session.get_one(Job, job.id).seconds = 1000.0
    supervisor.run(job.id)
    assert (row(job).seconds or 0) > 1000


@pytest.mark.parametrize("story", ["listen", "deaf"])
def test_a_job_that_works_for_too_long_is_stopped_and_fails(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, story: str
) -> None:
    limited(supervisor, monkeypatch, soft_limit_seconds=0.5, hard_limit_seconds=1.5 if story == "deaf" else 600)
    job = enqueue(story)
    supervisor.run(job.id)
    stopped = row(job)
    assert (stopped.status, stopped.status_reason) == (JobStatus.FAILED, "time_limit")
    assert "UNLEARN_SOFT_LIMIT_SECONDS=0.5" in (stopped.status_detail or "")
    assert [step["status"] for step in stopped.transitions] == ["queued", "running", "cancelling", "failed"]


def test_the_hard_limit_holds_without_the_database(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(supervisor, monkeypatch, soft_limit_seconds=0.1, hard_limit_seconds=0.5)

    def away(_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    monkeypatch.setattr("worker.supervisor._Attempt._standing", away)
    job = enqueue("deaf")
    supervisor.run(job.id)
    assert (row(job).status, row(job).status_reason) == (JobStatus.FAILED, "time_limit")


def test_earlier_attempts_count_towards_the_limit(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(supervisor, monkeypatch, soft_limit_seconds=1000, hard_limit_seconds=2000)
    job = enqueue("listen")
    with transaction() as session:
        session.get_one(Job, job.id).seconds = 1001.0
    supervisor.run(job.id)
    assert row(job).status_reason == "time_limit"


def test_what_ran_out_of_memory_is_tried_once_more_with_half_as_much_at_a_time(supervisor: Supervisor) -> None:
    job = enqueue("crave")
    supervisor.run(job.id)
    assert (row(job).status, row(job).status_reason) == (JobStatus.QUEUED, "out_of_memory")
    supervisor.run(job.id)
    assert (row(job).status, row(job).attempt) == (JobStatus.SUCCEEDED, 2)


def test_what_runs_out_of_memory_again_has_failed(supervisor: Supervisor) -> None:
    job = enqueue("no_memory")
    supervisor.run(job.id)
    supervisor.run(job.id)
    assert (row(job).status, row(job).status_reason) == (JobStatus.FAILED, "out_of_memory")
    assert not supervisor.run(job.id)


def test_what_exceeds_the_memory_limit_is_killed(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.supervisor.MEASURE_SECONDS", 0.0)
    idle = supervisor._born.start()
    limit = processes.resident_bytes(idle.pid) + 200_000_000
    idle.kill()
    limited(supervisor, monkeypatch, memory_limit_bytes=limit)
    job = enqueue("swell")
    supervisor.run(job.id)
    assert (row(job).status, row(job).status_reason) == (JobStatus.QUEUED, "out_of_memory")
    assert f"UNLEARN_MEMORY_LIMIT_BYTES is {limit}" in (row(job).status_detail or "")
    cancel(job)


def test_a_full_disk_costs_no_attempt_and_is_waited_out(supervisor: Supervisor) -> None:
    job = enqueue("full_disk")
    supervisor.run(job.id)
    waiting = row(job)
    assert (waiting.status, waiting.status_reason, waiting.excused) == (JobStatus.QUEUED, "storage_full", 1)
    assert waiting.not_before is not None
    assert not supervisor.run(job.id)
    supervisor.run(ripe(job).id)
    assert row(job).status is JobStatus.SUCCEEDED


def test_a_child_that_is_told_to_stop_from_outside_costs_no_attempt(supervisor: Supervisor) -> None:
    job = enqueue("told_to_stop")
    supervisor.run(job.id)
    assert (row(job).status, row(job).status_reason, row(job).excused) == (JobStatus.QUEUED, "worker_stopped", 1)
    supervisor.run(job.id)
    assert row(job).status is JobStatus.SUCCEEDED


def test_while_the_database_is_away_the_child_goes_on(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    short = get_settings().model_copy(update={"lease_seconds": 0.2})  # it expires meanwhile, and nobody takes it
    monkeypatch.setattr(supervisor, "_settings", short)
    monkeypatch.setattr(jobs, "get_settings", lambda: short)
    job, away = enqueue("listen"), threading.Event()
    standing = supervisor_module._Attempt._standing

    def sometimes(attempt: supervisor_module._Attempt) -> jobs.Standing:
        if away.is_set():
            raise OperationalError("SELECT", {}, Exception("the database is away"))
        return standing(attempt)

    monkeypatch.setattr(supervisor_module._Attempt, "_standing", sometimes)
    thread = start(supervisor, job)
    until(lambda: row(job).progress is not None)
    away.set()
    expired = row(job).lease_until
    assert expired is not None
    until(lambda: utcnow() > expired + timedelta(seconds=0.5))
    away.clear()
    until(lambda: (row(job).lease_until or expired) > expired + timedelta(seconds=0.3))
    assert (row(job).status, row(job).attempt) == (JobStatus.RUNNING, 1)
    cancel(job)
    thread.join()
    assert row(job).status is JobStatus.CANCELLED


def test_a_frozen_worker_that_wakes_up_after_its_lease_publishes_nothing() -> None:
    job = enqueue("on_signal")
    with transaction() as session:
        taken = jobs.claim(session, job.id, owner="frozen")
        assert taken is not None
    children = Children(CHILD, threads=1)
    frozen = children.start()
    children.close()
    frozen.start(job.id, taken.fence)
    until((get_settings().runs / job.id / "begun").exists)
    os.killpg(frozen.pid, signal.SIGSTOP)
    with transaction() as session:
        session.get_one(Job, job.id).lease_until = now(session) - timedelta(seconds=1)
    with transaction() as session:
        assert job.id in [found.id for found in jobs.reap(session)]
    with transaction() as session:
        second = jobs.claim(session, job.id, owner="another")
        assert second is not None
    (get_settings().runs / job.id / "go").touch()
    os.killpg(frozen.pid, signal.SIGCONT)
    assert frozen.wait(60) == 0
    frozen.kill()
    found = row(job)
    assert (found.status, found.owner, found.fence) == (JobStatus.RUNNING, "another", second.fence)
    with transaction() as session:
        jobs.succeed(session, jobs.fenced(session, job.id, second.fence))
