import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from app import scheduler
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.outbox.doorbells import TASK, CeleryDoorbell
from app.outbox.service import relay
from tests.conftest import Home
from tests.worker.waiting import enqueue, row, until, until_status


def envelope(body: str, headers: object, content_type: str = "application/json") -> str:
    """As kombu writes it."""
    properties = {
        "delivery_tag": "1",
        "delivery_mode": 2,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "celery"},
    }
    encoded = base64.b64encode(body.encode()).decode()
    parts = {"content-type": content_type, "content-encoding": "utf-8", "headers": headers}
    return json.dumps({"body": encoded, "properties": properties, **parts})


RUN = {"id": "1", "task": TASK, "lang": "py", "argsrepr": "", "kwargsrepr": ""}
GARBAGE: tuple[str | bytes, ...] = (
    "not JSON",
    b"\xff\xfe",
    "[]",
    "{}",
    '{"properties": {}}',
    envelope("[]", {}),
    envelope("[]", {**RUN, "task": "os.system"}),
    envelope("gASVAA==", RUN, "application/x-python-serialize"),
    envelope("{", RUN),
    envelope('[["job_1"], {}, {}]', RUN),
    envelope("[[17], {}, {}]", RUN),
    envelope('[[], {"job_id": "x"}, {}]', RUN),
)
"""What whoever can write to Redis can write; the task's own message is the last but with the id of a job."""

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
    worker: "subprocess.Popen[bytes]",
    bell: CeleryDoorbell,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, log = redis.Redis.from_url(redis_url), tmp_path / "worker.log"

    first, second = enqueue("succeed"), enqueue("resume_after_kill")
    assert relay(bell) == 2
    until_status(first, JobStatus.SUCCEEDED)
    until_status(second, JobStatus.SUCCEEDED)  # given back after the kill, and relayed again by the worker
    assert row(second).attempt == 2
    for number, garbage in enumerate(GARBAGE, 1):
        broker.lpush("celery", garbage)
        until(lambda number=number: f"the {number}. since the start" in log.read_text())  # type: ignore[misc]
    third = enqueue("deaf")  # nobody rings
    monkeypatch.setattr(scheduler, "NOT_AT_ONCE", timedelta(0))
    scheduler.relay()
    until(lambda: row(third).progress is not None)
    worker.terminate()
    assert worker.wait(30) == 0
    assert (row(third).status, row(third).status_reason) == (JobStatus.QUEUED, "worker_stopped")
