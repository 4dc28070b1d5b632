"""A model's queue is paused for maintenance: what runs goes on, what waits says why."""

from datetime import datetime

from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import queries
from app.jobs import service as jobs
from app.tables import AuditLogEntry, Job, OutboxMessage
from tests.app.web.rig import Rig, problem


def enqueue(rig: Rig, model: str) -> Job:
    with transaction() as session:
        return jobs.enqueue(
            session,
            tenant_id=rig.tenant_id,
            kind=JobKind.UNLEARNING,
            subject_id="fr_1",
            actor="test",
            exclusive_model_id=model,
        )


def claim(job: Job) -> Job | None:
    with transaction() as session:
        return jobs.claim(session, job.id, owner="w1")


def waiting() -> list[str]:
    with reading() as session:
        return list(queries.waiting(session, 10))


def announced(job: Job) -> datetime:
    """When it was, last: the bell rings behind every answer."""
    with reading() as session:
        return session.scalars(select(OutboxMessage.created_at).where(OutboxMessage.job_id == job.id)).one()


def test_what_runs_goes_on_and_what_waits_says_why(api: Rig) -> None:
    api.dataset()
    model = api.post("/models", json=api.model_body()).json()["id"]
    running, before = enqueue(api, model), enqueue(api, model)
    taken = claim(running)
    assert taken is not None
    paused = api.post("/models/net/queue/pause")
    assert paused.status_code == 200
    assert paused.json()["queue_paused_at"] is not None
    after = enqueue(api, model)
    for job in (before, after):
        found = api.get(f"/jobs/{job.id}").json()
        assert (found["status"], found["status_reason"]) == ("queued", "queue_paused")
        resume = {"action": "resume_queue", "method": "POST", "href": f"/models/{model}/queue/resume"}
        assert resume in found["next_actions"]
    with transaction() as session:
        jobs.succeed(session, jobs.fenced(session, taken.id, taken.fence))
    assert claim(before) is None
    assert before.id not in waiting()


def test_the_queue_goes_on_in_its_order_and_is_announced(lone: Rig) -> None:
    lone.dataset()
    model = lone.post("/models", json=lone.model_body()).json()["id"]
    first, second = enqueue(lone, model), enqueue(lone, model)
    lone.post("/models/net/queue/pause")
    before = announced(first)
    resumed = lone.post(f"/models/{model}/queue/resume")
    assert resumed.json()["queue_paused_at"] is None
    assert announced(first) > before
    assert lone.get(f"/jobs/{second.id}").json()["status_reason"] is None
    taken = claim(first)
    assert taken is not None


def test_an_attempt_that_ends_while_the_queue_is_paused_waits_too(lone: Rig) -> None:
    lone.dataset()
    model = lone.post("/models", json=lone.model_body()).json()["id"]
    taken = claim(enqueue(lone, model))
    assert taken is not None
    lone.post("/models/net/queue/pause")
    with transaction() as session:
        returned = jobs.give_back(session, taken.id, taken.fence, "crashed")
    assert returned is not None
    assert (returned.status, returned.status_reason) == (JobStatus.QUEUED, "queue_paused")
    assert returned.transitions[-1]["reason"] == "crashed"
    assert claim(taken) is None


def test_a_second_call_changes_nothing_and_a_strange_model_is_not_there(lone: Rig) -> None:
    lone.dataset()
    lone.post("/models", json=lone.model_body())
    once = lone.post("/models/net/queue/pause").json()
    assert lone.post("/models/net/queue/pause").json() == once
    for _ in range(2):
        lone.post("/models/net/queue/resume")
    with reading() as session:
        said = session.scalars(select(AuditLogEntry.action).where(AuditLogEntry.action.like("model.queue%"))).all()
    assert list(said) == ["model.queue_paused", "model.queue_resumed"]
    problem(lone.post("/models/nonesuch/queue/pause"), 404, "no_such_model")
