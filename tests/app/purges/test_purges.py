"""Old weights are destroyed when nothing needs them any more: who may, who must, what is on record."""

import threading
from typing import Any

import pytest
from sqlalchemy import delete

from app.audit_log import service as audit_log
from app.core.db import reading, transaction
from app.core.errors import Conflict
from app.domain.lifecycle import JobStatus, VersionStatus
from app.forget_requests import planning
from app.models import aliases
from app.models import service as models
from app.purges import service
from app.purges.files import destroy_purged
from app.purges.schemas import PurgeIn
from app.tables import Alias, AliasChange, ForgetRequest, Job, Model, ModelVersion
from tests.app.forget_requests.deciding import carry_out, govern
from tests.app.forget_requests.test_forget_requests import body, samples, submit
from tests.app.forget_requests.test_planning import deploy
from tests.app.forget_requests.test_releases import RETRAIN, status_of
from tests.app.purges.purging import REASON, base_with_files, entries, folder, forgotten, idle, purge, purged, row
from tests.app.searches.test_searches import submit as search
from tests.app.web.rig import Rig, digest, problem, safetensors

OCTETS = {"Content-Type": "application/octet-stream"}


def test_a_purge_destroys_the_files_and_leaves_a_record(api: Rig) -> None:
    base, new = forgotten(api)
    officer = api.with_scopes("models:read", "models:purge")
    found = purged(officer, base)
    (word,) = found["purge_decisions"]
    assert (found["status"], found["status_detail"], found["destroyed_at"]) == ("purged", REASON["reason"], None)
    assert word["reason"] == REASON["reason"]
    destroy_purged()
    found = api.get(f"/models/net/versions/{base}").json()
    assert found["destroyed_at"] is not None
    assert found["fisher"]["status"] == "none"
    assert [path.name for path in folder(api, base).iterdir()] == ["initial.safetensors"]  # the new one shares it
    asked, over, destroyed = entries(base)[-3:]
    assert (asked.action, asked.actor, asked.data) == ("version.purge", word["by"], REASON)
    assert (over.action, over.actor) == ("version.purged", word["by"])
    digests = (digest(safetensors()), None, "f" * 64)
    names = "weights_sha256", "initial_weights_sha256", "fisher_sha256"
    assert tuple(over.data[name] for name in names) == digests
    assert (destroyed.action, destroyed.actor) == ("version.destroyed", "scheduler")
    assert {file["file"]: file["sha256"] for file in destroyed.data["files"]} == {
        "weights.safetensors": digest(safetensors()),
        "fisher-job_0.safetensors": digest(b"left"),
        "fisher-job_1.safetensors": digest(b"fisher"),
    }
    with reading() as session:
        assert audit_log.verify(session, "tn_test") is None
    assert api.get(f"/models/net/versions/{new}").json()["parent_id"] == base
    destroy_purged()
    assert [entry.action for entry in entries(base)].count("version.destroyed") == 1


def test_initial_weights_go_with_the_last_version_that_shares_them(api: Rig) -> None:
    base, new = forgotten(api)
    initial = folder(api, base) / "initial.safetensors"
    assert row(new).initial_weights_path == str(initial)
    purged(api, base)
    destroy_purged()
    assert initial.is_file()
    deploy(api, api.version())
    idle(new)
    purged(api, new)
    destroy_purged()
    assert not initial.exists()
    over, destroyed = entries(new)[-2:]
    assert over.data["initial_weights_sha256"] == digest(safetensors(fill=b"\1"))
    assert destroyed.data["files"] == [{"file": "initial.safetensors", "sha256": digest(safetensors(fill=b"\1"))}]


def test_recorded_deltas_go_with_the_last_version_that_is_a_sum_of_them(api: Rig) -> None:
    base, new = forgotten(api)
    deltas = folder(api, base) / "deltas.safetensors"
    deltas.write_bytes(b"steps")
    with transaction() as session:
        for version in (base, new):
            session.get_one(ModelVersion, version).deltas_path = str(deltas)
    purged(api, base)
    destroy_purged()
    assert deltas.is_file()
    deploy(api, api.version())
    idle(new)
    purged(api, new)
    destroy_purged()
    assert not deltas.exists()
    assert {"file": "deltas.safetensors", "sha256": digest(b"steps")} in entries(new)[-1].data["files"]


def test_what_is_purged_cannot_be_used_any_more(api: Rig) -> None:
    base, new = forgotten(api)
    purged(api, base)
    path = f"/models/net/versions/{base}"
    etag = {"If-Match": api.get("/models/net/aliases/deployed").headers["etag"]}
    problem(api.get(f"{path}/weights"), 409, "version_purged")
    problem(api.post(f"{path}/fisher"), 409, "version_purged")
    problem(api.put(f"{path}/initial-weights", content=safetensors(), headers=OCTETS), 409, "version_purged")
    problem(api.put("/models/net/aliases/deployed", json={"version": base}, headers=etag), 409, "version_purged")
    problem(api.put("/models/net/aliases/canary", json={"version": base}), 409, "version_purged")
    problem(api.post("/models/net/aliases/deployed/rollback"), 409, "version_purged")
    problem(api.post("/forget-requests", json=body(samples("train-09"), version=base)), 409, "version_purged")
    wish = {"model": "net", "before": base, "after": new, "target": {**samples("train-01"), "dataset": "faces"}}
    problem(api.post("/audit-reports", json=wish), 409, "version_purged")
    problem(purge(api, base), 409, "version_purged")
    with reading() as session:
        assert session.query(Alias).one().version_id == new
    assert len(api.get("/models/net/versions").json()["data"]) == 2


def test_what_is_deployed_or_the_only_one_is_not_purged(api: Rig) -> None:
    base = base_with_files(api)
    assert problem(purge(api, base), 409, "version_in_use")["alias"] == "deployed"
    api.model("net2")
    api.version("net2")
    with transaction() as session:
        session.query(Alias).one().version_id = api.version()
    gold = api.version(role="gold", fisher=False)
    idle(gold)
    purged(api, base)
    purged(api, gold)
    alone = api.get("/models/net/versions").json()["data"]
    (only,) = [version["id"] for version in alone if version["status"] == "ready"]
    with transaction() as session:
        session.execute(delete(AliasChange))
        session.execute(delete(Alias))
    idle(only)
    problem(purge(api, only), 409, "only_version")


def test_a_version_that_work_needs_is_not_purged(api: Rig) -> None:
    base, new = forgotten(api)
    gold = api.upload(query="?role=gold", content=safetensors(fill=b"\2")).json()["id"]
    problem(purge(api, gold), 409, "version_not_ready")
    with transaction() as session:
        models.settle_version(session, gold)
    idle(gold)
    registered = {"gold": "registered", "gold_versions": [gold]}

    request = submit(api, samples("train-05"), version=base, audit=registered)
    for version in (base, gold):
        assert problem(purge(api, version), 409, "version_needed")["forget_request"] == request["id"]
    assert api.post(f"/forget-requests/{request['id']}/cancel").status_code == 200

    wish = {"model": "net", "before": base, "after": new, "target": {**samples("train-01"), "dataset": "faces"}}
    audit = api.post("/audit-reports", json={**wish, "audit": registered}).json()
    for version in (base, gold):
        assert problem(purge(api, version), 409, "version_needed")["audit_report"] == audit["id"]
    assert api.post(f"/jobs/{audit['job_id']}/cancel").status_code in {200, 202}

    found = search(api, version=base)
    assert problem(purge(api, base), 409, "version_needed")["search"] == found["id"]
    assert api.post(f"/searches/{found['id']}/cancel").status_code in {200, 202}

    with transaction() as session:
        fisher = row(new).job_id or ""
        assert session.get_one(Job, fisher).status is JobStatus.QUEUED
    deploy(api, api.version())
    assert problem(purge(api, new), 409, "version_needed")["job"] == fisher
    for version in (base, gold):
        purged(api, version)


def test_what_has_forgotten_and_is_not_yet_deployed_is_not_purged(api: Rig) -> None:
    api.deployed()
    new = carry_out(api, submit(api))["result_version_id"]
    idle(new)
    assert problem(purge(api, new), 409, "version_undeployed")["next_of_alias"] == "deployed"


def test_a_held_version_is_purged_only_when_its_request_is_over(api: Rig) -> None:
    api.deployed()
    govern(api, release="hold")
    request = submit(api)
    held = carry_out(api, request, "trace_found")["result_version_id"]
    assert problem(purge(api, held), 409, "version_needed")["forget_request"] == request["id"]
    assert api.post(f"/forget-requests/{request['id']}/cancel").status_code == 200
    idle(held)
    assert purged(api, held)["status"] == "purged"


def test_what_only_a_purged_version_has_forgotten_can_be_asked_for_again(api: Rig) -> None:
    base = api.deployed()
    new = carry_out(api, submit(api, version=base))["result_version_id"]
    problem(api.post("/forget-requests", json=body(version=base)), 409, "already_forgotten")
    idle(new)
    purged(api, new)
    assert submit(api, version=base)["sample_count"] == 2


def test_four_eyes_are_two_keys_that_purge(api: Rig) -> None:
    base, _ = forgotten(api)
    govern(api, purge="four_eyes")
    first = purged(api, base)
    assert (first["status"], len(first["purge_decisions"])) == ("superseded", 1)
    problem(purge(api, base), 409, "already_decided")
    destroy_purged()
    assert (folder(api, base) / "weights.safetensors").is_file()
    assert purged(api.with_scopes("*"), base)["status"] == "purged"
    assert [entry.action for entry in entries(base)][-3:] == ["version.purge", "version.purge", "version.purged"]


def test_a_word_lapses_when_the_version_is_deployed_again(api: Rig) -> None:
    base, new = forgotten(api)
    govern(api, purge="four_eyes")
    purged(api, base)
    assert api.post("/models/net/aliases/deployed/rollback").status_code == 200
    deploy(api, new)
    assert purged(api.with_scopes("*"), base)["status"] == "superseded"


def test_who_purges_has_looked_may_and_says_why(api: Rig) -> None:
    base, _ = forgotten(api)
    path = f"/models/net/versions/{base}/purge"
    problem(api.post(path, json=REASON), 428, "if_match_required")
    problem(purge(api, base, **{"If-Match": '"stale"'}), 412, "if_match_failed")
    problem(api.post(path, json={}, headers={"If-Match": "*"}), 422, "invalid_request", "/reason")
    problem(purge(api.with_scopes("models:read", "models:write"), base), 403, "scope_missing")
    problem(api.other().post(path, json=REASON, headers={"If-Match": "*"}), 404, "no_such_model")
    assert status_of(base) is VersionStatus.SUPERSEDED


def test_a_purge_waits_for_an_alias_that_is_moving_there(api: Rig) -> None:
    base, _ = forgotten(api)
    path = f"/models/net/versions/{base}"
    etag, answers = api.get(path).headers["etag"], list[Any]()
    thread = threading.Thread(target=lambda: answers.append(purge(api, base, **{"If-Match": "*"})))
    with transaction() as session:
        model = session.query(Model).one()
        aliases.point(session, model, "canary", base, if_match=None, actor="key_1")
        thread.start()
        thread.join(0.5)
        assert answers == []
    thread.join(30)
    assert problem(answers[0], 409, "version_in_use")["alias"] == "canary"
    assert api.get(path).headers["etag"] != etag


def test_an_alias_waits_for_a_purge_of_where_it_goes(api: Rig) -> None:
    base, _ = forgotten(api)
    answers = list[Any]()
    canary = "/models/net/aliases/canary"
    thread = threading.Thread(target=lambda: answers.append(api.put(canary, json={"version": base})))
    with transaction() as session:
        model = session.query(Model).one()
        version = models.version_of(session, model, base)
        service.purge(session, model, version, PurgeIn(**REASON), if_match="*", actor="key_1")
        thread.start()
        thread.join(0.5)
        assert answers == []
    thread.join(30)
    problem(answers[0], 409, "version_purged")


@pytest.mark.parametrize("status", [VersionStatus.READY, VersionStatus.INVALID])
def test_what_was_never_deployed_can_be_purged_too(lone: Rig, status: VersionStatus) -> None:
    lone.deployed()
    other = lone.upload().json()["id"]
    with transaction() as session:
        if status is VersionStatus.READY:
            models.settle_version(session, other)
        else:
            models.reject_version(session, other, "not_finite", "")
    idle(other)
    assert purged(lone, other)["status"] == "purged"


def test_a_job_that_finds_its_version_purged_says_so(lone: Rig) -> None:
    """It was submitted just when the version was purged."""
    base, _ = forgotten(lone)
    request = submit(lone, samples("train-07"), version=base, **RETRAIN)
    with transaction() as session:
        version = models.version_of(session, session.query(Model).one(), base)
        models.transition(session, version, VersionStatus.PURGED)
    with reading() as session, pytest.raises(Conflict, match="purged by now"):
        planning.check(session, session.get_one(ForgetRequest, request["id"]))
