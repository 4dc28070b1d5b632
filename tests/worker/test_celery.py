import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from app import scheduler
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.outbox.doorbells import CeleryDoorbell
from app.outbox.service import relay
from tests.conftest import Home
from tests.worker.waiting import enqueue, row, until, until_status

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("postgresql_home", "tenant")]


@pytest.fixture
def settled(postgresql_home: Home, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("UNLEARN_EXECUTOR", "celery")
    monkeypatch.setenv("UNLEARN_REDIS_URL", redis_url)
    get_settings.cache_clear()
    return postgresql_home


@pytest.fixture
def bell(settled: Home, redis_url: str) -> Iterator[CeleryDoorbell]:  # noqa: ARG001 - the settings come first
    doorbell = CeleryDoorbell(redis_url)
    yield doorbell
    doorbell.close()


@pytest.fixture
def worker(settled: Home, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:  # noqa: ARG001 - likewise
    command = [sys.executable, "-m", "celery", "-A", "tests.worker.made_up", "worker", "--pool", "threads"]
    with (tmp_path / "worker.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        yield process
        process.terminate()
        process.wait(30)


def test_jobs_travel_through_redis_and_a_stopped_worker_gives_its_job_back(
    worker: "subprocess.Popen[bytes]", bell: CeleryDoorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = enqueue("succeed"), enqueue("resume_after_kill")
    assert relay(bell) == 2
    until_status(first, JobStatus.SUCCEEDED, 60)
    until_status(second, JobStatus.SUCCEEDED, 60)  # given back after the kill, and relayed again by the worker
    assert row(second).attempt == 2
    third = enqueue("deaf")  # nobody rings
    monkeypatch.setattr(scheduler, "NOT_AT_ONCE", timedelta(0))
    scheduler.relay()
    until(lambda: row(third).progress is not None)
    worker.terminate()
    assert worker.wait(30) == 0
    assert (row(third).status, row(third).status_reason) == (JobStatus.QUEUED, "worker_stopped")
