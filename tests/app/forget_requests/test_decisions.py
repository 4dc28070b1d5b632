import itertools
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.audit_log import service as audit_log
from app.core.db import reading, transaction
from app.domain.lifecycle import JobKind, RequestStatus, is_final
from app.forget_requests import actions
from app.tables import AuditLogEntry, ForgetRequest, Job, Tombstone
from app.tables.base import utcnow
from tests.app.forget_requests.deciding import REASON, carry_out, decide, decided, govern, seen
from tests.app.forget_requests.test_forget_requests import body, samples, submit
from tests.app.web.rig import Rig, problem

DECISIONS = ("approve", "reject", "release", "extend")
WISHES: dict[str, dict[str, Any] | None] = {"approve": None, "release": None, "reject": REASON, "extend": REASON}


def offered(request: dict[str, Any]) -> list[str]:
    return [action["action"] for action in request["next_actions"]]


def entries(request: dict[str, Any]) -> list[AuditLogEntry]:
    with reading() as session:
        query = select(AuditLogEntry).where(AuditLogEntry.resource == request["id"])
        return list(session.scalars(query.order_by(AuditLogEntry.number)))


def test_a_request_that_awaits_approval_has_taken_its_samples_and_has_no_job(api: Rig) -> None:
    api.deployed()
    govern(api, approval="one")

    found = submit(api)

    assert (found["status"], found["status_reason"], found["job_id"]) == (
        "awaiting_approval",
        "approval_required",
        None,
    )
    assert offered(found) == ["approve", "reject", "cancel", "extend"]
    assert [step["status"] for step in found["transitions"]] == ["received", "awaiting_approval"]
    assert api.count(Tombstone) == 2
    problem(api.post("/forget-requests", json=body(samples("train-01"))), 409, "already_requested")
    with reading() as session:
        assert session.scalars(select(Job).where(Job.kind == JobKind.UNLEARNING)).all() == []


def test_another_key_than_the_submitters_approves_and_then_it_is_queued(api: Rig) -> None:
    api.deployed()
    govern(api, approval="one")
    found = submit(api)
    officer = api.with_scopes("forget-requests:read", "forget-requests:approve")
    problem(decide(api, found, "approve"), 403, "own_request")

    over = decided(officer, found, "approve")

    assert (over["status"], [step["status"] for step in over["transitions"]][-1]) == ("queued", "queued")
    (decision,) = over["decisions"]
    assert decision["decision"] == "approve"
    assert decision["by"] not in {None, over["submitted_by"]}
    with reading() as session:
        assert session.get_one(Job, over["job_id"]).subject_id == found["id"]
    written = [(entry.action, entry.actor == decision["by"]) for entry in entries(found)]
    assert written[-2:] == [("forget_request.approve", True), ("forget_request.queued", True)]
    problem(decide(officer, found, "approve"), 409, "not_awaiting_approval")


def test_four_eyes_are_two_keys_neither_of_them_the_submitters(api: Rig) -> None:
    api.deployed()
    govern(api, approval="four_eyes")
    found = submit(api)
    first, second = api.with_scopes("*"), api.with_scopes("*")
    assert decided(first, found, "approve")["status"] == "awaiting_approval"
    problem(decide(first, found, "approve"), 409, "already_decided")
    problem(decide(api, found, "approve"), 403, "own_request")
    over = decided(second, found, "approve")
    assert (over["status"], len({decision["by"] for decision in over["decisions"]})) == ("queued", 2)


def test_of_two_approvals_at_once_exactly_one_wins(api: Rig) -> None:
    api.deployed()
    govern(api, approval="one")
    found = submit(api)
    officers = [api.with_scopes("*") for _ in range(4)]
    as_it_is = seen(api, found)
    answers: list[int] = []

    def approve(officer: Rig) -> None:
        answers.append(officer.post(f"/forget-requests/{found['id']}/approve", headers=as_it_is).status_code)

    threads = [threading.Thread(target=approve, args=(officer,)) for officer in officers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200, 412, 412, 412]
    with reading() as session:
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.UNLEARNING)).all()) == 1
        assert audit_log.verify(session, "tn_test") is None


@pytest.mark.parametrize("what", DECISIONS)
def test_who_decides_has_seen_what_is_decided_about(lone: Rig, what: str) -> None:
    lone.deployed()
    govern(lone, approval="one", release="hold")
    found = submit(lone)
    path, wish = f"/forget-requests/{found['id']}/{what}", WISHES[what]
    officer = lone.with_scopes("*")
    problem(officer.post(path, json=wish), 428, "if_match_required")
    stale = seen(lone, found)
    decided(officer, found, "extend", REASON)
    assert problem(officer.post(path, json=wish, headers=stale), 412, "if_match_failed")["status"] == 412
    assert [d["decision"] for d in lone.get(f"/forget-requests/{found['id']}").json()["decisions"]] == ["extend"]


def test_a_rejected_request_says_why_and_gives_its_samples_back(api: Rig) -> None:
    api.deployed()
    govern(api, approval="four_eyes")
    found = submit(api)
    problem(decide(api, found, "reject", {}), 422, "invalid_request", "/reason")
    problem(decide(api, found, "reject", {"reason": "x" * 201}), 422, "invalid_request", "/reason")
    over = decided(api, found, "reject", REASON)
    assert (over["status"], over["final"]) == ("rejected", True)
    assert (over["status_reason"], over["status_detail"]) == ("approval_refused", REASON["reason"])
    assert over["transitions"][-1]["reason"] == "approval_refused"
    assert offered(over) == []
    assert api.count(Tombstone) == 0
    assert submit(api)["sample_count"] == 2
    assert [entry.data["reason"] for entry in entries(found)][-2:] == [REASON["reason"], "approval_refused"]


def test_what_awaits_approval_is_cancelled_at_once(api: Rig) -> None:
    api.deployed()
    govern(api, approval="one")
    found = submit(api)
    over = api.post(f"/forget-requests/{found['id']}/cancel").json()
    assert (over["status"], over["status_reason"]) == ("cancelled", "cancelled")
    assert api.count(Tombstone) == 0


def test_the_policy_at_acceptance_holds_whatever_the_model_gets_later(lone: Rig) -> None:
    lone.deployed()
    govern(lone, approval="four_eyes", margin="strict", release="auto")
    found = submit(lone)
    govern(lone, approval="none")
    officer = lone.with_scopes("*")
    over = decided(officer, found, "approve")
    assert over["status"] == "awaiting_approval"
    assert over["policy"] == found["policy"]
    assert (over["policy"]["margin"], over["policy"]["release"]) == ("strict", "auto")


def test_a_policy_that_needs_gold_refuses_an_audit_without(lone: Rig) -> None:
    lone.deployed()
    govern(lone, needs_gold=True)
    problem(lone.post("/forget-requests", json=body()), 422, "policy_needs_gold", "/audit/gold")
    assert lone.count(ForgetRequest) == 0
    assert submit(lone, audit={"gold": "retrain"})["status"] == "queued"


def test_the_deadline_is_put_off_once_by_two_calendar_months(api: Rig) -> None:
    api.deployed()
    received = utcnow().replace(microsecond=0)
    found = submit(api, received_at=received.isoformat())
    assert "extend" in offered(found)
    over = decided(api, found, "extend", REASON)
    assert over["due_at"] > found["due_at"]
    assert (over["decisions"][0]["decision"], over["decisions"][0]["reason"]) == ("extend", REASON["reason"])
    assert over["status"] == "queued"
    assert "extend" not in offered(over)
    problem(decide(api, found, "extend", REASON), 409, "already_extended")
    assert api.get(f"/forget-requests/{found['id']}").json()["due_at"] == over["due_at"]
    last = entries(found)[-1]
    assert (last.action, last.data["reason"]) == ("forget_request.extend", REASON["reason"])


def test_after_the_deadline_nothing_is_extended(api: Rig) -> None:
    api.deployed()
    found = submit(api, received_at=(utcnow() - timedelta(days=40)).isoformat())
    assert "extend" not in offered(found)
    problem(decide(api, found, "extend", REASON), 409, "deadline_passed")
    problem(decide(api, found, "extend"), 422, "invalid_request")


def test_overdue_requests_are_found_and_so_are_those_due_soon(api: Rig) -> None:
    api.deployed()
    long_ago = (utcnow() - timedelta(days=40)).isoformat()
    late, given_up = submit(api, received_at=long_ago), submit(api, samples("train-05"), received_at=long_ago)
    early = submit(api, samples("train-07"))
    api.post(f"/forget-requests/{given_up['id']}/cancel")
    today = utcnow().isoformat().replace("+00:00", "Z")
    listed = {
        query: [row["id"] for row in api.get(f"/forget-requests?{query}").json()["data"]]
        for query in ("overdue=true", "overdue=false", f"due_before={today}", "due_before=2100-01-01T00:00:00Z")
    }
    assert list(listed.values()) == [
        [late["id"]],
        [early["id"], given_up["id"]],
        [given_up["id"], late["id"]],
        [early["id"], given_up["id"], late["id"]],
    ]
    decided(api, early, "extend", REASON)
    problem(api.get("/forget-requests?overdue=perhaps"), 422, "invalid_request", "query/overdue")
    problem(api.get("/forget-requests?due_before=2026-01-01T00:00:00"), 422, "invalid_request", "query/due_before")


def test_every_decision_is_refused_in_every_state_that_does_not_offer_it(lone: Rig) -> None:
    lone.deployed()
    found = submit(lone)
    paths = {what: f"/forget-requests/{found['id']}/{what}" for what in (*DECISIONS, "cancel")}
    by_name = {action.name: action for action in actions.REFUSALS}
    refused = 0
    for status, (what, path) in itertools.product(RequestStatus, paths.items()):
        allowed = {action.name for action in actions.NEXT[status]}
        if what in allowed or (what == "cancel" and not is_final(status)):
            continue
        if what == "cancel" and status is RequestStatus.CANCELLED:
            continue  # a second call changes nothing
        with transaction() as session:
            session.get_one(ForgetRequest, found["id"]).status = status
        answer = lone.post(path, json=WISHES.get(what), headers=seen(lone, found))
        code, _ = actions.REFUSALS[by_name[what]]
        assert problem(answer, 409, code)["state"] == status.value
        refused += 1
    assert refused == 38  # 4 decisions in 11 states, of which 9 are offered; cancelling what is over in 3 ways


def test_every_state_offers_what_the_table_says_if_what_it_leads_to_is_there(lone: Rig) -> None:
    assert set(actions.NEXT) == set(RequestStatus)
    lone.deployed()
    found = carry_out(lone, submit(lone))
    for status in RequestStatus:
        with transaction() as session:
            session.get_one(ForgetRequest, found["id"]).status = status
        got = lone.get(f"/forget-requests/{found['id']}").json()
        assert offered(got) == [action.name for action in actions.NEXT[status]]
        assert all(found["id"] in a["href"] for a in got["next_actions"] if a["method"] == "POST")


def test_decisions_need_scopes_of_their_own(lone: Rig) -> None:
    lone.deployed()
    govern(lone, approval="one")
    found = submit(lone)
    writer = lone.with_scopes("forget-requests:read", "forget-requests:write", "models:write")
    for what in ("approve", "reject", "release"):
        problem(decide(writer, found, what, WISHES[what]), 403, "scope_missing")
    problem(
        decide(lone.with_scopes("forget-requests:read", "forget-requests:approve"), found, "release"),
        403,
        "scope_missing",
    )
    assert decide(writer, found, "extend", REASON).status_code == 200
    problem(lone.other().post(f"/forget-requests/{found['id']}/approve"), 404, "no_such_forget_request")
