from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import VersionStatus
from app.forget_requests import service
from app.tables import AuditLogEntry, ForgetRequest, ModelVersion, Tombstone
from tests.app.forget_requests.deciding import REASON, carry_out, decide, decided, deployed, govern
from tests.app.forget_requests.test_forget_requests import body, samples, submit
from tests.app.web.rig import Rig, problem

OVERRIDE = {"override": True, **REASON}
RETRAIN = {"method": {"name": "retrain"}}
"""Needs no Fisher diagonal, which a version that was just made does not have yet."""


def status_of(version_id: str) -> VersionStatus:
    with reading() as session:
        return session.get_one(ModelVersion, version_id).status


def actions_on(resource: str) -> list[str]:
    with reading() as session:
        query = select(AuditLogEntry.action).where(AuditLogEntry.resource == resource)
        return list(session.scalars(query.order_by(AuditLogEntry.number)))


def sealed(request: dict[str, Any]) -> list[int]:
    with reading() as session:
        row = session.get_one(ForgetRequest, request["id"])
        return service.excluded_positions(session, row.dataset_id)


def test_without_a_policy_the_version_is_ready_and_the_alias_is_the_callers(api: Rig) -> None:
    base = api.deployed()
    over = carry_out(api, submit(api), "trace_found")
    assert over["status"] == "completed"
    assert status_of(over["result_version_id"]) is VersionStatus.READY
    assert deployed(api) == base


def test_a_held_version_is_deployed_by_one_release(api: Rig) -> None:
    base = api.deployed()
    govern(api, release="hold")
    found = submit(api)
    over = carry_out(api, found)
    assert (over["status"], over["final"], over["status_reason"]) == ("awaiting_release", False, "release_required")
    assert [action["action"] for action in over["next_actions"]][:2] == ["read_report", "release"]
    version = over["result_version_id"]
    assert (deployed(api), status_of(version), sealed(found)) == (base, VersionStatus.HELD, [])

    officer = api.with_scopes("forget-requests:read", "forget-requests:release")
    done = decided(officer, found, "release", REASON)

    assert (done["status"], done["status_reason"], done["status_detail"]) == ("completed", "released", REASON["reason"])
    assert (deployed(api), status_of(version), sealed(found)) == (version, VersionStatus.READY, [1, 2])
    assert actions_on(version) == ["version.held", "version.ready"]
    with reading() as session:
        query = select(AuditLogEntry).where(AuditLogEntry.actor == done["decisions"][0]["by"])
        told = [(e.action, e.data.get("reason")) for e in session.scalars(query.order_by(AuditLogEntry.number))]
    assert told == [
        ("forget_request.release", REASON["reason"]),
        ("version.ready", "released"),
        ("alias.pointed", None),
        ("version.superseded", "deployed_since"),
        ("forget_request.completed", "released"),
    ]
    problem(decide(officer, found, "release"), 409, "not_awaiting_release")


def test_a_held_version_is_neither_deployed_nor_used_nor_given_out(api: Rig) -> None:
    api.deployed()
    govern(api, release="hold")
    found = submit(api)
    version = carry_out(api, found)["result_version_id"]
    alias = api.get("/models/net/aliases/deployed").headers["etag"]
    point = api.put("/models/net/aliases/deployed", json={"version": version}, headers={"If-Match": alias})
    refusal = problem(point, 409, "version_held")
    assert refusal["forget_request"] == found["id"]
    assert f"POST /forget-requests/{found['id']}/release" in refusal["detail"]
    problem(api.put("/models/net/aliases/canary", json={"version": version}), 409, "version_held")
    problem(api.get(f"/models/net/versions/{version}/weights"), 409, "version_held")
    problem(api.post("/forget-requests", json=body(samples("train-09"), version=version)), 409, "version_held")


def test_auto_moves_the_alias_on_a_pass_and_on_nothing_else(api: Rig) -> None:
    base = api.deployed()
    govern(api, release="auto", release_on=["pass", "inconclusive"])
    unsure = carry_out(api, submit(api), "inconclusive")
    assert (unsure["status"], unsure["status_reason"], deployed(api)) == ("awaiting_release", "release_required", base)
    found = submit(api, samples("train-05"), **RETRAIN)
    over = carry_out(api, found)
    assert (over["status"], deployed(api)) == ("completed", over["result_version_id"])
    assert status_of(over["result_version_id"]) is VersionStatus.READY
    assert sealed(found) == [5]
    traced = carry_out(api, submit(api, samples("train-06"), **RETRAIN), "trace_found")
    assert (traced["status"], traced["status_reason"]) == ("awaiting_release", "verdict_trace_found")
    assert deployed(api) == over["result_version_id"]


def test_four_eyes_are_two_keys_that_release(api: Rig) -> None:
    base = api.deployed()
    govern(api, release="four_eyes")
    found = submit(api)
    version = carry_out(api, found)["result_version_id"]
    assert decided(api, found, "release")["status"] == "awaiting_release"
    assert (deployed(api), status_of(version)) == (base, VersionStatus.HELD)
    problem(decide(api, found, "release"), 409, "already_decided")
    assert decided(api.with_scopes("*"), found, "release")["status"] == "completed"
    assert deployed(api) == version


@pytest.mark.parametrize("verdict", ["trace_found", "inconclusive", "mitigation_only"])
def test_what_the_policy_does_not_release_stays_held(lone: Rig, verdict: str) -> None:
    base = lone.deployed()
    govern(lone, release="hold")
    found = submit(lone)
    over = carry_out(lone, found, verdict)
    assert over["status_reason"] == f"verdict_{verdict}"
    for wish in (None, OVERRIDE):
        refusal = problem(decide(lone, found, "release", wish), 409, "release_against_policy")
        assert refusal["verdict"] == verdict
    assert (deployed(lone), status_of(over["result_version_id"])) == (base, VersionStatus.HELD)
    assert lone.get(f"/forget-requests/{found['id']}").json()["decisions"] == []


def test_an_override_must_be_allowed_said_and_explained_and_is_recorded(api: Rig) -> None:
    api.deployed()
    govern(api, release="hold", override=True)
    found = submit(api)
    version = carry_out(api, found, "trace_found")["result_version_id"]
    assert "override" in problem(decide(api, found, "release", REASON), 409, "release_against_policy")["detail"]
    problem(decide(api, found, "release", {"override": True}), 422, "invalid_request", "/reason")
    over = decided(api, found, "release", OVERRIDE)
    assert (over["status"], over["status_reason"]) == ("completed", "released_against_policy")
    assert over["decisions"][0]["override"] is True
    assert deployed(api) == version
    with reading() as session:
        entry = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "forget_request.release")).one()
    assert (entry.data["override"], entry.data["reason"]) == (True, REASON["reason"])


def test_saying_override_where_none_is_needed_is_no_override(lone: Rig) -> None:
    lone.deployed()
    govern(lone, release="hold")
    found = submit(lone)
    carry_out(lone, found)
    over = decided(lone, found, "release", OVERRIDE)
    assert (over["status_reason"], over["decisions"][0]["override"]) == ("released", False)


def test_a_release_never_undoes_what_was_deployed_since(api: Rig) -> None:
    api.deployed()
    govern(api, release="hold", override=True)
    first, second = submit(api), submit(api, samples("train-05"), **RETRAIN)
    carry_out(api, first)
    carry_out(api, second)  # from the same base: it still knows what the first has forgotten
    decided(api, first, "release")
    refusal = problem(decide(api, second, "release", OVERRIDE), 409, "alias_moved")
    assert "deployed" in refusal["detail"]
    govern(api, release="auto")
    third = submit(api, samples("train-07"), **RETRAIN)
    moved = api.get("/models/net/aliases/deployed").headers["etag"]
    other = api.version()
    api.put("/models/net/aliases/deployed", json={"version": other}, headers={"If-Match": moved})
    over = carry_out(api, third)
    assert (over["status"], over["status_reason"], deployed(api)) == ("awaiting_release", "alias_moved", other)


def test_requests_that_share_a_job_are_released_one_by_one(api: Rig) -> None:
    api.deployed()
    govern(api, release="hold")
    first, second = submit(api), submit(api, samples("train-05"))
    assert first["job_id"] == second["job_id"]
    version = carry_out(api, first)["result_version_id"]
    assert decided(api, second, "release")["status"] == "completed"
    assert (deployed(api), status_of(version), sealed(second)) == (version, VersionStatus.READY, [5])
    alias = api.get("/models/net/aliases/deployed").json()
    assert api.get(f"/forget-requests/{first['id']}").json()["status"] == "awaiting_release"
    assert decided(api, first, "release")["status"] == "completed"
    assert api.get("/models/net/aliases/deployed").json() == alias
    assert actions_on(version) == ["version.held", "version.ready"]


def test_a_release_never_brings_back_what_was_taken_back(lone: Rig) -> None:
    first = lone.deployed()
    govern(lone, release="auto")
    second = carry_out(lone, submit(lone))["result_version_id"]
    found = submit(lone, samples("train-07"), **RETRAIN)
    assert (deployed(lone), found["base_version_id"]) == (second, second)
    assert lone.post("/models/net/aliases/deployed/rollback").status_code == 200
    over = carry_out(lone, found)
    assert (over["status"], over["status_reason"], deployed(lone)) == ("awaiting_release", "alias_moved", first)
    problem(decide(lone, found, "release"), 409, "alias_moved")


def test_a_refused_release_frees_the_samples_and_the_version_stays_held(api: Rig) -> None:
    base = api.deployed()
    govern(api, release="hold")
    found = submit(api)
    version = carry_out(api, found, "trace_found")["result_version_id"]
    assert api.count(Tombstone) == 2
    over = decided(api, found, "reject", REASON)
    assert (over["status"], over["status_reason"]) == ("rejected", "release_refused")
    assert (deployed(api), status_of(version), api.count(Tombstone)) == (base, VersionStatus.HELD, 0)
    assert submit(api, method={"name": "retrain"})["sample_count"] == 2
    withdrawn = submit(api, samples("train-05"))
    carry_out(api, withdrawn)
    assert api.post(f"/forget-requests/{withdrawn['id']}/cancel").json()["status"] == "cancelled"


def test_a_request_that_named_a_version_moves_no_alias(lone: Rig) -> None:
    base = lone.deployed()
    govern(lone, release="auto")
    over = carry_out(lone, submit(lone, version=base))
    assert (over["status"], over["alias"], deployed(lone)) == ("completed", None, base)
    assert status_of(over["result_version_id"]) is VersionStatus.READY


def test_a_held_version_gets_its_fisher_diagonal_and_may_be_audited_again(lone: Rig) -> None:
    base = lone.deployed()
    govern(lone, release="hold", margin="strict")
    version = carry_out(lone, submit(lone), "inconclusive")["result_version_id"]
    assert lone.get(f"/models/net/versions/{version}").json()["fisher"]["status"] == "pending"
    wish = {"model": "net", "before": base, "after": version, "target": {**samples("train-01"), "dataset": "faces"}}
    audit = lone.post("/audit-reports", json=wish)
    assert audit.status_code == 202, audit.text


def test_a_request_older_than_policies_ends_as_it_did(lone: Rig) -> None:
    base = lone.deployed()
    found = submit(lone)
    with transaction() as session:
        row = session.get_one(ForgetRequest, found["id"])
        row.policy, row.submitted_by = None, None
    over = carry_out(lone, found, "inconclusive")
    assert (over["status"], over["policy"]["release"], deployed(lone)) == ("completed", "manual", base)
