import threading
import time
import warnings
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app.core.db import transaction
from app.domain.lifecycle import JobKind
from app.jobs import service
from app.jobs.routes import router
from app.keys import service as keys
from app.main import create_app
from app.tables import Job, Tenant

with warnings.catch_warnings():  # it wants httpx2, which is not there yet
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

followed: list[str] = []


def follow(_: Session, job: Job) -> None:
    followed.append(job.id)


def client_of(tenant: Tenant, scopes: list[str]) -> TestClient:
    with transaction() as session:
        _, key = keys.create(session, tenant_id=tenant.id, name="test", scopes=scopes)
    app = create_app()
    app.include_router(router)
    app.state.follow_job = follow
    return TestClient(app, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def client(tenant: Tenant) -> Iterator[TestClient]:
    followed.clear()
    with client_of(tenant, ["jobs:read", "jobs:write"]) as made:
        yield made


@pytest.fixture
def job(tenant: Tenant) -> Job:
    with transaction() as session:
        return service.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1")


def run(job: Job, *, done: bool) -> None:
    with transaction() as session:
        claimed = service.claim(session, job.id, owner="w")
        assert claimed is not None
        progress = {"phase": "train", "completed": 1, "total": 2, "unit": "epochs", "message": None}
        service.record(session, job.id, claimed.fence, [("progress", progress)])
        if done:
            service.succeed(session, claimed)


def test_a_job_is_polled_with_its_etag(client: TestClient, job: Job) -> None:
    answer = client.get(f"/jobs/{job.id}")
    body = answer.json()
    assert (body["status"], body["final"], body["subject_id"], body["progress"]) == ("queued", False, "mv_1", None)
    assert body["next_actions"] == [{"action": "cancel", "method": "POST", "href": f"/jobs/{job.id}/cancel"}]
    seen = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(f"/jobs/{job.id}", headers=seen).status_code == 304
    run(job, done=True)
    changed = client.get(f"/jobs/{job.id}", headers=seen)
    assert changed.status_code == 200
    assert [step["status"] for step in changed.json()["transitions"]] == ["queued", "running", "succeeded"]
    assert changed.json()["progress"]["phase"] == "train"
    assert (changed.json()["final"], changed.json()["next_actions"]) == (True, [])


def test_jobs_are_listed_and_filtered(client: TestClient, tenant: Tenant, job: Job) -> None:
    with transaction() as session:
        newer = service.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_2", actor="key_1")
    run(job, done=True)
    page = client.get("/jobs", params={"limit": 1}).json()
    assert [row["id"] for row in page["data"]] == [newer.id]
    rest = client.get("/jobs", params={"after": page["next_cursor"]}).json()
    assert [row["id"] for row in rest["data"]] == [job.id]
    assert [row["id"] for row in client.get("/jobs?status=succeeded").json()["data"]] == [job.id]
    assert client.get("/jobs?kind=unlearning").json()["data"] == []
    assert client.get("/jobs?sort=x").status_code == 422


def test_a_shard_says_which_one_it_is(client: TestClient, tenant: Tenant) -> None:
    with transaction() as session:
        whole = service.enqueue(
            session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1", shards=2
        )
    listed = [(row["whole_id"], row["shard"], row["shards"]) for row in client.get("/jobs").json()["data"]]
    assert listed == [(whole.id, 2, 2), (whole.id, 1, 2), (None, None, 2)]


def test_a_queued_job_is_cancelled_and_its_subject_follows(client: TestClient, job: Job) -> None:
    answer = client.post(f"/jobs/{job.id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert followed == [job.id]
    again = client.post(f"/jobs/{job.id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "already_final")


def test_a_running_job_is_told_to_stop(client: TestClient, job: Job) -> None:
    run(job, done=False)
    assert client.post(f"/jobs/{job.id}/cancel").json()["status"] == "cancelling"
    assert client.post(f"/jobs/{job.id}/cancel").status_code == 202


def test_events_come_in_pages(client: TestClient, job: Job) -> None:
    run(job, done=True)
    first = client.get(f"/jobs/{job.id}/events?limit=2").json()
    assert [(event["sequence"], event["type"]) for event in first["data"]] == [(1, "status"), (2, "status")]
    assert (first["has_more"], first["next_cursor"]) == (True, "2")
    rest = client.get(f"/jobs/{job.id}/events?after=2").json()
    assert [event["type"] for event in rest["data"]] == ["progress", "status"]
    assert (rest["has_more"], rest["next_cursor"]) == (False, "4")


def test_events_are_streamed_until_the_job_is_over(client: TestClient, job: Job) -> None:
    def later() -> None:
        time.sleep(0.4)
        run(job, done=True)

    thread = threading.Thread(target=later)
    thread.start()
    answer = client.get(f"/jobs/{job.id}/events", headers={"Accept": "text/event-stream"})
    thread.join()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    assert [line for line in lines if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3", "id: 4"]
    assert '"final":true' in lines[-2]


@pytest.mark.parametrize(("seen", "left"), [("2", ["id: 3", "id: 4"]), ("4", [])])
def test_a_stream_is_resumed_after_the_last_event(client: TestClient, job: Job, seen: str, left: list[str]) -> None:
    run(job, done=True)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": seen}
    lines = client.get(f"/jobs/{job.id}/events", headers=headers).text.splitlines()
    assert [line for line in lines if line.startswith("id:")] == left


@pytest.mark.parametrize("path", ["", "/events"])
def test_another_tenants_job_is_not_there(client: TestClient, job: Job, path: str) -> None:
    with transaction() as session:
        other = Tenant(id="tn_other", name="other")
        session.add(other)
    with client_of(other, ["*"]) as stranger:
        for accept in ("application/json", "text/event-stream"):
            assert stranger.get(f"/jobs/{job.id}{path}", headers={"Accept": accept}).status_code == 404
        assert stranger.post(f"/jobs/{job.id}/cancel").status_code == 404
    assert client.get(f"/jobs/{job.id}{path}").status_code == 200


def test_reading_does_not_allow_cancelling(tenant: Tenant, job: Job) -> None:
    with client_of(tenant, ["jobs:read"]) as reader:
        assert reader.post(f"/jobs/{job.id}/cancel").status_code == 403
