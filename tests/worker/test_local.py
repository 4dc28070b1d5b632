import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.embedded import Dispatcher
from app.outbox.doorbells import PipeDoorbell
from app.outbox.service import relay
from app.scheduler import Scheduler
from tests.processes import children_of
from tests.worker.waiting import enqueue, row, until, until_status

COMMAND = (sys.executable, "-m", "tests.worker.made_up", "local")
HARDLY_EVER = "600"
"""Seconds between looks of a dispatcher that nobody rings."""

pytestmark = pytest.mark.usefixtures("tenant")


@contextmanager
def dispatching(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen((*COMMAND, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.terminate()
        process.wait(60)


@pytest.fixture
def dispatcher() -> Iterator["subprocess.Popen[bytes]"]:
    with dispatching() as process:
        yield process


def bell(dispatcher: "subprocess.Popen[bytes]") -> PipeDoorbell:
    assert dispatcher.stdin is not None
    return PipeDoorbell(dispatcher.stdin.fileno())


def test_a_rung_job_runs_without_a_look_and_the_next_one_after_it() -> None:
    with dispatching(HARDLY_EVER) as dispatcher:
        first, second = enqueue("succeed"), enqueue("succeed")
        assert relay(bell(dispatcher)) == 2
        until_status(first, JobStatus.SUCCEEDED)
        until_status(second, JobStatus.SUCCEEDED)
        dispatcher.terminate()
        assert dispatcher.wait(60) == 0


def test_an_unrung_job_runs_too_and_ends_with_the_parent(dispatcher: "subprocess.Popen[bytes]") -> None:
    job = enqueue("deaf")
    until(lambda: row(job).progress is not None)
    assert dispatcher.stdin is not None
    dispatcher.stdin.close()
    assert dispatcher.wait(60) == 0
    assert (row(job).status, row(job).status_reason) == (JobStatus.QUEUED, "worker_stopped")


def test_when_the_dispatcher_is_killed_its_children_die(dispatcher: "subprocess.Popen[bytes]") -> None:
    job = enqueue("listen")
    until(lambda: row(job).progress is not None)
    children = children_of(dispatcher.pid)
    assert children
    dispatcher.kill()
    dispatcher.wait(60)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in children))  # a spare may be busy importing
    assert row(job).status is JobStatus.RUNNING  # until its lease expires


def test_the_jobs_of_a_killed_dispatcher_are_taken_up_by_the_next_without_waiting_for_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNLEARN_LEASE_SECONDS", "600")
    get_settings.cache_clear()
    job = enqueue("on_signal")
    folder = get_settings().runs / job.id
    scheduler = Scheduler()
    scheduler.start()
    with Dispatcher(COMMAND) as embedded:
        until((folder / "begun").exists)
        os.kill(embedded.pid, signal.SIGKILL)
        until(lambda: row(job).attempt == 2)
        (folder / "go").touch()
        until_status(job, JobStatus.SUCCEEDED)
    scheduler.stop()
    steps = [(step["status"], step["reason"]) for step in row(job).transitions]
    assert steps[2] == ("queued", "worker_died")
