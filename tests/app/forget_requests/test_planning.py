"""Which requests share a job, what they build on, and what their job waits for."""

from typing import Any

import pytest
from sqlalchemy import event, select

from app.audit_log import service as audit_log
from app.core.db import engine, reading, transaction
from app.core.errors import Invalid
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind, JobStatus, RequestStatus
from app.forget_requests import planning, service
from app.jobs import queries
from app.jobs import service as jobs
from app.models import service as models
from app.tables import AuditReport, ForgetRequest, Job, ModelVersion, OutboxMessage, Tombstone
from tests.app.forget_requests.test_forget_requests import body, samples, submit
from tests.app.web.rig import Rig, problem


def one(rig: Rig, number: int, **changes: Any) -> dict[str, Any]:
    """A request for one sample."""
    return submit(rig, samples(f"train-{number:02}"), **changes)


def as_it_is(rig: Rig, request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = rig.get(f"/forget-requests/{request['id']}").json()
    return found


def job_of(request: dict[str, Any]) -> Job:
    with reading() as session:
        return session.get_one(Job, request["job_id"])


def start(request: dict[str, Any]) -> Job | None:
    """As a supervisor does."""
    with transaction() as session:
        if not planning.ready(session, request["job_id"]):
            return None
        job = jobs.claim(session, request["job_id"], owner="w1")
        if job is not None:
            service.follow(session, job)
        return job


def finish(request: dict[str, Any], *, verdict: str = "pass", fisher: bool = True) -> str:
    """As the worker publishes; the id of the new version."""
    job = start(request)
    assert job is not None
    with transaction() as session:
        job = jobs.fenced(session, job.id, job.fence)
        rows = service.batch(session, job.id)
        base = session.get_one(ModelVersion, rows[0].base_version_id)
        version_id = "mv_" + job.id[4:]
        result = models.publish_version(
            session,
            parent=base,
            version_id=version_id,
            job_id=job.id,
            weights_path="/w",
            weights_sha256="1" * 64,
            weights_bytes=1,
            silenced_classes=[],
        )
        if fisher:
            models.store_fisher(session, version_id, path="/f", sha256="0" * 64, count=20)
            jobs.cancel(session, session.get_one(Job, result.job_id))
        for row in rows:
            session.add(
                AuditReport(
                    id="ar_" + row.id[3:],
                    tenant_id=row.tenant_id,
                    forget_request_id=row.id,
                    job_id=job.id,
                    verdict=verdict,
                    body={},
                    envelope={},
                )
            )
        service.complete(session, rows, version_id=version_id, reports=["ar_" + row.id[3:] for row in rows])
        jobs.succeed(session, job)
    return version_id


def deploy(rig: Rig, version: str) -> None:
    etag = rig.get("/models/net/aliases/deployed").headers["etag"]
    answer = rig.put("/models/net/aliases/deployed", json={"version": version}, headers={"If-Match": etag})
    assert answer.status_code == 200, answer.text


def settings(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(f"UNLEARN_{name.upper()}", str(value))
    get_settings.cache_clear()


def test_requests_that_ask_the_same_share_a_job_until_it_is_claimed(api: Rig) -> None:
    api.deployed()
    first, second = one(api, 1), one(api, 2, external_id="DSAR-2")
    assert second["job_id"] == first["job_id"]
    assert start(first) is not None
    third = one(api, 3)
    assert third["job_id"] != first["job_id"]
    assert [as_it_is(api, request)["status"] for request in (first, second, third)] == ["running", "running", "queued"]
    with reading() as session:
        assert service.positions_by_request(session, first["job_id"]) == {first["id"]: [1], second["id"]: [2]}
        assert audit_log.verify(session, "tn_test") is None
    assert one(api, 4)["job_id"] == third["job_id"]


DIFFERENT: list[dict[str, Any]] = [
    {"seed": 1},
    {"method": {"name": "rld"}},
    {"method": {"name": "rld", "epochs": 3}},
    {"audit": {"gold": "retrain"}},
    {"alias": "staging"},
    {"target": {"kind": "subjects", "dataset": "faces", "subject_ids": ["person-3"]}},
    {"target": {"kind": "class", "dataset": "faces", "label": 1}},
]


def test_requests_that_ask_something_else_have_jobs_of_their_own(lone: Rig) -> None:
    version = lone.deployed()
    assert lone.put("/models/net/aliases/staging", json={"version": version}).status_code == 200
    found = {one(lone, 0)["job_id"]}
    for number, other in enumerate([*DIFFERENT, {"version": version}], 1):
        answer = lone.post("/forget-requests", json={**body(samples(f"train-{number:02}")), **other})
        assert answer.status_code == 202, answer.text
        found.add(answer.json()["job_id"])
    assert len(found) == len(DIFFERENT) + 2


def test_two_requests_for_a_version_or_for_parts_of_samples_do_not_share_a_job(lone: Rig) -> None:
    version = lone.deployed()
    assert one(lone, 1, version=version)["job_id"] != one(lone, 2, version=version)["job_id"]
    part = {"kind": "backdoor", "transform": {"name": "line"}}
    parts = [submit(lone, {**part, "sample_ids": [f"train-{number:02}"]}) for number in (3, 4)]
    assert parts[0]["job_id"] != parts[1]["job_id"]


def test_a_batch_has_a_largest_size(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lone.deployed()
    settings(monkeypatch, coalesce_most=2)
    found = [one(lone, number)["job_id"] for number in range(5)]
    assert [found.index(job_id) for job_id in found] == [0, 0, 2, 2, 4]


def test_a_job_may_wait_for_more_and_starts_when_it_is_full(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    api.deployed()
    settings(monkeypatch, coalesce_most=2, coalesce_wait_seconds=3600)
    first = one(api, 1)
    assert start(first) is None
    assert one(api, 2)["job_id"] == first["job_id"]
    assert start(first) is not None


def test_a_job_that_waited_long_enough_is_announced_again(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    api.deployed()
    settings(monkeypatch, coalesce_wait_seconds=3600)
    first = one(api, 1)

    def announced() -> bool:
        with transaction() as session:
            jobs.reap(session)
            message = session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == first["job_id"])).one()
            pending = message.sent_at is None
            message.sent_at = message.created_at
            return pending

    assert not announced()
    with transaction() as session:
        message = session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == first["job_id"])).one()
        session.get_one(Job, first["job_id"]).not_before = message.created_at.replace(microsecond=0)
        message.created_at = message.created_at.replace(year=message.created_at.year - 1)
    assert announced()
    assert start(first) is not None


def test_who_leaves_a_waiting_job_leaves_the_others_in_it_and_the_last_takes_it_along(api: Rig) -> None:
    api.deployed()
    first, second = one(api, 1), one(api, 2)
    left = api.post(f"/forget-requests/{first['id']}/cancel").json()
    assert (left["status"], left["status_reason"]) == ("cancelled", "cancelled")
    assert (job_of(second).status, as_it_is(api, second)["status"]) == (JobStatus.QUEUED, "queued")
    with reading() as session:
        assert session.scalars(select(Tombstone.position)).all() == [2]
    assert one(api, 1)["job_id"] == second["job_id"]
    for request in api.get("/forget-requests?status=queued").json()["data"]:
        api.post(f"/forget-requests/{request['id']}/cancel")
    assert job_of(second).status is JobStatus.CANCELLED
    assert api.count(Tombstone) == 0


def test_nobody_leaves_a_batch_that_has_begun(api: Rig) -> None:
    api.deployed()
    first, second = one(api, 1), one(api, 2)
    job = start(first)
    assert job is not None
    refused = problem(api.post(f"/forget-requests/{first['id']}/cancel"), 409, "shared_job_has_begun")
    assert (refused["job"], refused["requests"]) == (job.id, 2)
    with transaction() as session:
        given_back = jobs.give_back(session, job.id, job.fence, "crashed")
        assert given_back is not None
        service.follow(session, given_back)
    assert as_it_is(api, second)["status"] == "queued"
    problem(api.post(f"/forget-requests/{first['id']}/cancel"), 409, "shared_job_has_begun")  # its checkpoints know it
    assert one(api, 3)["job_id"] != job.id
    assert start(first) is not None
    assert api.post(f"/jobs/{job.id}/cancel").status_code == 202
    assert [as_it_is(api, request)["status"] for request in (first, second)] == ["cancelling", "cancelling"]


def test_what_ends_a_job_ends_all_its_requests(api: Rig) -> None:
    api.deployed()
    first, second = one(api, 1), one(api, 2)
    job = start(first)
    assert job is not None
    with transaction() as session:
        held = jobs.fenced(session, job.id, job.fence)
        service.reach(session, service.batch(session, job.id), RequestStatus.VERIFYING)
        jobs.fail(session, held, "diverged", "the loss is not finite")
        service.follow(session, held)
    for request in (first, second):
        over = as_it_is(api, request)
        assert (over["status"], over["status_reason"]) == ("failed", "diverged")
        steps = [step["status"] for step in over["transitions"]]
        assert steps == ["received", "queued", "running", "verifying", "failed"]
    assert api.count(Tombstone) == 0


def test_a_request_builds_on_what_the_one_before_made_although_both_were_there_from_the_start(api: Rig) -> None:
    base = api.deployed()
    first, second = one(api, 1), one(api, 2, seed=1)
    assert second["base_version_id"] == base
    assert start(second) is None  # one after the other
    made = finish(first)
    assert start(second) is not None
    assert as_it_is(api, second)["base_version_id"] == made
    assert one(api, 3)["base_version_id"] == made


def test_what_is_forgotten_on_the_line_is_not_forgotten_again_before_it_is_deployed(lone: Rig) -> None:
    lone.deployed()
    first = one(lone, 1)
    made = finish(first)
    found = problem(lone.post("/forget-requests", json=body(samples("train-01"))), 409, "already_forgotten")
    assert found["version"] == made


def test_a_named_version_stays_the_one_to_build_on(lone: Rig) -> None:
    base = lone.deployed()
    first, second = one(lone, 1), one(lone, 2, version=base)
    finish(first)
    assert start(second) is not None
    assert as_it_is(lone, second)["base_version_id"] == base


def test_what_shows_a_trace_is_not_built_on(lone: Rig) -> None:
    base = lone.deployed()
    finish(one(lone, 1), verdict="trace_found")
    assert one(lone, 2)["base_version_id"] == base


def test_what_was_taken_back_is_not_built_on_nor_what_was_made_of_it(lone: Rig) -> None:
    base = lone.deployed()
    made = finish(one(lone, 1))
    deploy(lone, made)
    finish(one(lone, 2))
    assert lone.post("/models/net/aliases/deployed/rollback").status_code == 200
    assert one(lone, 3)["base_version_id"] == base


def test_another_alias_is_another_line(lone: Rig) -> None:
    base = lone.deployed()
    assert lone.put("/models/net/aliases/staging", json={"version": base}).status_code == 200
    finish(one(lone, 1))
    assert one(lone, 2, alias="staging")["base_version_id"] == base


def test_a_job_waits_in_the_queue_for_the_fisher_diagonal_of_what_it_builds_on(api: Rig) -> None:
    api.deployed()
    first, second = one(api, 1), one(api, 2, method={"name": "rld"})
    made = finish(first, fisher=False)
    assert start(second) is None
    assert job_of(second).status is JobStatus.QUEUED
    with reading() as session:
        version = session.get_one(ModelVersion, made)
        assert job_of(second).awaits_id == version.job_id
        assert second["job_id"] not in queries.waiting(session, 10)  # its turn has not come: nobody tries it again
    with transaction() as session:
        models.store_fisher(session, made, path="/f", sha256="0" * 64, count=20)
        computed = session.get_one(Job, version.job_id)
        jobs.transition(session, computed, JobStatus.RUNNING)
        session.scalars(
            select(OutboxMessage).where(OutboxMessage.job_id == second["job_id"])
        ).one().sent_at = computed.created_at
        jobs.succeed(session, computed)
        message = session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == second["job_id"])).one()
        assert message.sent_at is None  # announced as soon as it can run
    assert start(second) is not None
    assert as_it_is(api, second)["base_version_id"] == made


def test_one_that_needs_no_fisher_diagonal_waits_for_none(lone: Rig) -> None:
    lone.deployed(fisher=False)
    assert start(one(lone, 1, method={"name": "retrain"})) is not None


def test_without_the_fisher_diagonal_auto_does_without_it_and_a_named_method_says_that_it_cannot(lone: Rig) -> None:
    version = lone.deployed(fisher=False)
    lenient = submit(lone, {"kind": "class", "label": 1})
    strict = one(lone, 2, method={"name": "rld"})
    assert [rung["left_out"] for rung in lenient["ladder"]] == [None, None, None]
    assert start(lenient) is None
    with transaction() as session:
        jobs.cancel(session, session.get_one(Job, session.get_one(ModelVersion, version).job_id))
    assert start(lenient) is not None
    rungs = {rung["method"]["name"]: rung["left_out"] for rung in as_it_is(lone, lenient)["ladder"]}
    assert rungs["retrain"] is None
    assert all("stored Fisher" in (rungs[name] or "") for name in ("ssd", "deepclean"))
    lone.post(f"/jobs/{lenient['job_id']}/cancel")
    with transaction() as session:
        job = session.get_one(Job, lenient["job_id"])
        jobs.transition(session, job, JobStatus.CANCELLED)
        service.follow(session, job)
    assert start(strict) is not None
    with reading() as session, pytest.raises(Invalid) as caught:
        planning.check(session, session.get_one(ForgetRequest, strict["id"]))
    assert caught.value.code == "method_needs_unmet"


def test_together_requests_cannot_take_all_that_is_left(lone: Rig) -> None:
    lone.deployed()
    for number in range(19):
        one(lone, number)
    problem(lone.post("/forget-requests", json=body(samples("train-19"))), 422, "nothing_stays", "/target")


def test_a_submission_asks_as_much_of_the_database_whatever_is_there_already(lone: Rig) -> None:
    lone.deployed()
    statements: list[str] = []
    event.listen(engine(), "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    one(lone, 0)
    counts = []
    for number in range(1, 12):
        statements.clear()
        one(lone, number)
        counts.append(len(statements))
    assert len(set(counts)) == 1


def test_jobs_of_other_kinds_are_ready_as_they_are(lone: Rig) -> None:
    lone.deployed(fisher=False)
    with transaction() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.FISHER)).one()
        assert planning.ready(session, job.id)
        assert planning.ready(session, "job_nonesuch")


def drifted(rig: Rig, version: str, **drift: float) -> None:
    """As if unlearning had carried the version so far."""
    with transaction() as session:
        session.get_one(ModelVersion, version).drift = {"jobs": 3, **drift}
    shown = rig.get(f"/models/net/versions/{version}").json()["drift"]
    assert shown == {"weight_change": 0.0, "accuracy_loss": 0.0, "jobs": 3, **drift}


def test_when_the_drift_budget_is_spent_auto_retrains_and_says_why(api: Rig) -> None:
    version = api.deployed(drift_budget={"weight_change": 0.5, "accuracy_loss": 0.05})
    assert api.get("/models/net").json()["drift_budget"] == {"weight_change": 0.5, "accuracy_loss": 0.05}
    drifted(api, version, accuracy_loss=0.06)
    request, named = one(api, 1), one(api, 2, method={"name": "rld"})
    assert start(request) is not None
    planned = as_it_is(api, request)
    assert planned["method"]["name"] == "retrain"
    assert planned["method_reason"] == "retrain, since drift_budget_spent: accuracy loss 0.06 of 0.05"
    assert [rung["method"]["name"] for rung in planned["ladder"] if rung["left_out"] is None] == ["retrain"]
    api.post(f"/jobs/{request['job_id']}/cancel")
    with transaction() as session:
        job = session.get_one(Job, request["job_id"])
        jobs.transition(session, job, JobStatus.CANCELLED)
        service.follow(session, job)
    assert start(named) is not None
    assert as_it_is(api, named)["method"]["name"] == "rld"  # who names a method gets it


def test_a_budget_that_is_not_spent_changes_nothing(lone: Rig) -> None:
    version = lone.deployed(drift_budget={"weight_change": 0.5})
    drifted(lone, version, weight_change=0.49, accuracy_loss=0.9)
    request = one(lone, 1)
    assert start(request) is not None
    assert as_it_is(lone, request)["method"]["name"] == "finetune"


def test_a_spent_budget_where_nothing_can_be_retrained_leaves_the_ladder_with_a_warning(lone: Rig) -> None:
    version = lone.deployed(recipe=None, drift_budget={"weight_change": 0.5})
    drifted(lone, version, weight_change=0.5)
    request = submit(lone, {"kind": "class", "label": 1})
    assert start(request) is not None
    planned = as_it_is(lone, request)
    assert planned["method"]["name"] == "ssd"
    assert planned["method_reason"].startswith("drift_budget_spent (weight change 0.5 of 0.5), but nothing can be")
