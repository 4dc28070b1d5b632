"""From a search over HTTP to a forget request with what it found, while a child of the search is killed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.db import reading
from app.core.processes import pid_of
from app.core.settings import get_settings
from app.searches import queries
from app.tables import Job, Search
from tests.conftest import Home, sqlite_home
from tests.journeys import material
from tests.journeys.service import Api
from tests.journeys.test_main_job import serving
from tests.processes import children_of

TRIALS = 20
RLD = {"name": "rld", "epochs": 2, "batch_size": 32}
TARGET = {
    "kind": "backdoor",
    "dataset": "digits",
    "filter": {"label": material.TRIGGERED_CLASS},
    "transform": material.TRIGGER.model_dump(mode="json"),
}


@pytest.fixture(scope="module")
def embedded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """SQLite and the local executor."""
    with sqlite_home(tmp_path_factory.mktemp("embedded"), sqlite_template) as home, serving(home, celery=False) as api:
        yield api


@pytest.fixture
def deployed(postgresql_home: Home, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """PostgreSQL, Redis and a Celery worker."""
    monkeypatch.setenv("UNLEARN_REDIS_URL", redis_url)
    monkeypatch.setenv("UNLEARN_EXECUTOR", "celery")
    get_settings.cache_clear()
    with serving(postgresql_home, celery=True) as api:
        yield api


def test_a_running_search_is_cancelled(embedded: Api) -> None:
    wish = {"model": "reader", "target": TARGET, "candidates": [{"method": RLD}], "trials": 500}
    accepted = embedded.call("POST", "/searches", 202, json=wish)
    until_trials(accepted["id"], 1)
    embedded.call("POST", f"/searches/{accepted['id']}/cancel", 200)
    assert embedded.finished(accepted["job_id"])["status"] == "cancelled"
    assert embedded.call("GET", f"/searches/{accepted['id']}", 200)["trials_succeeded"] >= 1


def test_what_a_search_finds_is_asked_for_on_the_embedded_service(embedded: Api) -> None:
    search_and_forget(embedded)


@pytest.mark.services
def test_what_a_search_finds_is_asked_for_on_postgresql_and_celery(deployed: Api) -> None:
    search_and_forget(deployed)


def search_and_forget(api: Api) -> None:
    wish = {"model": "reader", "target": TARGET, "candidates": [{"method": RLD}], "trials": TRIALS, "seed": 1}
    undisturbed = finished(api, api.call("POST", "/searches", 202, json=wish))
    accepted = api.call("POST", "/searches", 202, json=wish)
    kill_after_trials(accepted["id"], 2)
    found = finished(api, accepted)
    assert api.call("GET", f"/jobs/{accepted['job_id']}", 200)["attempt"] > 1
    assert found["trials_succeeded"] + found["trials_failed"] == TRIALS
    assert without_ids(api, found) == without_ids(api, undisturbed)

    best = found["best"]
    assert best["value"] == max(t["value"] for t in trials(api, found) if t["value"] is not None)
    request = api.forget(model="reader", target=TARGET, method=best["method"])
    assert request["method"] == best["method"]
    assert (request["method"]["epochs"], request["method_chosen_by"]) == (2, "caller")


def finished(api: Api, accepted: dict[str, Any]) -> dict[str, Any]:
    api.succeeded(accepted["job_id"])
    found: dict[str, Any] = api.call("GET", f"/searches/{accepted['id']}", 200)
    assert found["status"] == "succeeded"
    return found


def trials(api: Api, search: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api.call("GET", f"/searches/{search['id']}/trials?limit=100", 200)["data"]
    return rows


def without_ids(api: Api, search: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in {"id", "seconds"}} for row in trials(api, search)]


def until_trials(search_id: str, over: int) -> Job:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with reading() as session:
            job = session.get_one(Job, session.get_one(Search, search_id).job_id)
            made = queries.counts(session, search_id)
        if sum(made) >= over:
            return job
        time.sleep(0.01)
    raise AssertionError("the search made no trials")


def kill_after_trials(search_id: str, over: int) -> None:
    """Kill every child of the supervisor while the search is under way."""
    job = until_trials(search_id, over)
    for child in children_of(pid_of(job.owner or "")):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
