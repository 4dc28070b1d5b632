"""A Fisher diagonal in shards over HTTP, on both databases and with both executors, while children are killed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.core.db import reading
from app.core.processes import pid_of
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus
from app.tables import Job, ModelVersion
from tests.conftest import Home
from tests.journeys import material
from tests.journeys.service import Api
from tests.journeys.test_main_job import serving, upload
from tests.processes import children_of

SHARDS = 2


@pytest.fixture
def embedded(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """SQLite and the local executor, two jobs at once."""
    monkeypatch.setenv("UNLEARN_CONCURRENCY", "2")
    monkeypatch.setenv("UNLEARN_FISHER_SHARDS", str(SHARDS))
    get_settings.cache_clear()
    with serving(home, celery=False) as api:
        yield api


@pytest.fixture
def deployed(postgresql_home: Home, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """PostgreSQL, Redis and a Celery worker."""
    monkeypatch.setenv("UNLEARN_REDIS_URL", redis_url)
    monkeypatch.setenv("UNLEARN_EXECUTOR", "celery")
    monkeypatch.setenv("UNLEARN_FISHER_SHARDS", str(SHARDS))
    get_settings.cache_clear()
    with serving(postgresql_home, celery=True) as api:
        yield api


def test_a_killed_shard_is_tried_again_on_the_embedded_service(embedded: Api) -> None:
    kill_a_shard(embedded)


@pytest.mark.services
def test_a_killed_shard_is_tried_again_on_postgresql_and_celery(deployed: Api) -> None:
    kill_a_shard(deployed)


def kill_a_shard(api: Api) -> None:
    alias = api.call("GET", "/models/reader/aliases/deployed", 200)
    undisturbed = row_of(alias["version_id"])  # in shards, because the operator wants it so

    deadline = time.monotonic() + 240
    while (caught := cancelled_and_killed(api)) is None:  # a busy machine may look when the shards are over
        assert time.monotonic() < deadline
    version, whole, killed = caught
    path = f"/models/reader/versions/{version}"

    # the result is the same file
    api.succeeded(whole)
    assert api.call("GET", f"/jobs/{killed}", 200)["attempt"] > 1
    assert api.call("GET", path, 200)["fisher"] == {"status": "ready", "count": material.TRAIN, "progress": None}
    assert row_of(version).fisher_sha256 == undisturbed.fisher_sha256
    deadline = time.monotonic() + 120
    while list(get_settings().runs.glob("*/shards")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def cancelled_and_killed(api: Api) -> tuple[str, str, str] | None:
    """One more version, of whose first shards one is cancelled and of whose second shards one is killed.

    Returns:
        The version, the second job and the killed shard; None where shards were over before either could be done.
    """
    version = upload(api, material.weights())
    api.succeeded(version["job_id"])
    path = f"/models/reader/versions/{version['id']}"
    whole = api.call("GET", path, 200)["job_id"]
    last = shards_of(api, whole)[-1]
    answer = api.http.post(f"/jobs/{last['id']}/cancel")
    if answer.status_code == 409:
        assert answer.json()["type"].endswith(":already_final"), answer.text
        api.succeeded(whole)
        return None

    # a shard that somebody cancels: no diagonal, nothing left waiting
    assert answer.status_code == 202, answer.text
    over = api.finished(whole)
    assert (over["status"], over["status_reason"]) == ("cancelled", "shard_cancelled")
    for shard in shards_of(api, whole):
        assert api.finished(shard["id"])["status"] in {"cancelled", "succeeded"}
    assert api.call("GET", path, 200)["fisher"]["status"] == "none"

    # asked for again, and a shard is killed
    whole = api.call("POST", f"{path}/fisher", 202, json={"shards": SHARDS})["job_id"]
    shards = shards_of(api, whole)
    assert [(s["shard"], s["shards"], s["kind"]) for s in shards] == [(n + 1, SHARDS, "fisher") for n in range(SHARDS)]
    killed = kill_one_of([s["id"] for s in shards])
    if killed is None:
        api.succeeded(whole)
        return None
    return version["id"], whole, killed


def shards_of(api: Api, whole: str) -> list[dict[str, Any]]:
    rows = api.call("GET", "/jobs?kind=fisher&limit=100", 200)["data"]
    return sorted((row for row in rows if row["whole_id"] == whole), key=lambda row: row["shard"])


def row_of(version: str) -> ModelVersion:
    with reading() as session:
        return session.get_one(ModelVersion, version)


def kill_one_of(ids: list[str]) -> str | None:
    """Kill every child of the supervisor while it runs one of these jobs; the job whose attempt came to nothing.

    None if all of them succeeded before.
    """
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with reading() as session:
            rows = [session.get_one(Job, job_id) for job_id in ids]
        if all(row.status is JobStatus.SUCCEEDED and row.attempt == 1 for row in rows):
            return None
        for row in rows:
            if row.attempt > 1 or (row.attempt == 1 and row.status is JobStatus.QUEUED):
                return row.id
            if row.status is JobStatus.RUNNING:
                for child in children_of(pid_of(row.owner or "")):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    raise AssertionError("no shard was killed")
