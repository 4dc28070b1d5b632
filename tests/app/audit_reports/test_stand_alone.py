"""`POST /audit-reports`: any two versions of a model, checked before a job is queued."""

from typing import Any

from sqlalchemy import select

from app.audit_reports import stand_alone
from app.core.db import reading, transaction
from app.jobs import service as jobs
from app.tables import AuditLogEntry, AuditReport, Dataset, Job, ModelVersion, Tombstone
from tests.app.web.rig import Rig, problem, safetensors


def second(api: Rig, model: str = "net", *, role: str = "candidate", fill: bytes = b"\1") -> str:
    """Another version, with other weights."""
    answer = api.upload(model, safetensors(fill=fill), query=f"?role={role}")
    assert answer.status_code == 202, answer.text
    version: str = answer.json()["id"]
    with transaction() as session:
        session.get_one(ModelVersion, version).status = "ready"  # type: ignore[assignment]  # no worker here
    return version


def wish(before: str, after: str, **changed: Any) -> dict[str, Any]:
    target = {"kind": "samples", "dataset": "faces", "sample_ids": ["train-00", "train-05"]}
    return {"model": "net", "before": before, "after": after, "target": target, **changed}


def test_an_audit_is_accepted_with_a_job_and_claims_no_sample(api: Rig) -> None:
    before = api.deployed()
    answer = api.post("/audit-reports", json=wish(before, second(api), external_id="A-1"))
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/audit-reports/{answer.json()['id']}"
    shown = api.get(answer.headers["location"]).json()
    assert (shown["status"], shown["verdict"], shown["forget_request_id"]) == ("queued", None, None)
    assert api.count(Tombstone) == 0
    with reading() as session:
        row = session.get_one(AuditReport, shown["id"])
        assert stand_alone.asked_of(row).positions == [0, 5]
        assert session.get_one(Job, row.job_id).subject_id == row.id
        entries = session.scalars(select(AuditLogEntry.action).where(AuditLogEntry.resource == row.id)).all()
    assert entries == ["audit_report.queued"]
    assert "train-05" not in answer.text


def test_a_cancelled_audit_ends_and_keeps_no_list_of_samples(api: Rig) -> None:
    before = api.deployed()
    shown = api.post("/audit-reports", json=wish(before, second(api))).json()
    assert api.post(f"/jobs/{shown['job_id']}/cancel").status_code == 202
    assert api.get(f"/audit-reports/{shown['id']}").json()["status"] == "cancelled"
    problem(api.get(f"/audit-reports/{shown['id']}.html"), 409, "report_not_completed")
    with reading() as session:
        assert stand_alone.asked_of(session.get_one(AuditReport, shown["id"])).positions == []
        entries = session.scalars(select(AuditLogEntry.action).where(AuditLogEntry.resource == shown["id"])).all()
    assert entries == ["audit_report.queued", "audit_report.cancelled"]


def test_a_job_that_fails_fails_its_audit_with_the_reason(lone: Rig) -> None:
    before = lone.deployed()
    shown = lone.post("/audit-reports", json=wish(before, second(lone))).json()
    with transaction() as session:
        job = jobs.claim(session, shown["job_id"], owner="w")
        assert job is not None
        jobs.fail(session, job, "gold_shares_weights", "a tensor")
        stand_alone.follow(session, job)
    told = lone.get(f"/audit-reports/{shown['id']}").json()
    assert (told["status"], told["status_reason"]) == ("failed", "gold_shares_weights")


def test_versions_of_different_models_cannot_be_compared(lone: Rig) -> None:
    before = lone.deployed()
    lone.model("other", architecture={"name": "mlp", "input_shape": [1, 8, 8], "classes": 3, "layers": 3})
    elsewhere = second(lone, "other")
    told = problem(lone.post("/audit-reports", json=wish(before, elsewhere)), 422, "other_model", "/after")
    assert "another architecture" in told["detail"]
    problem(lone.post("/audit-reports", json=wish("mv_" + "0" * 32, before)), 422, "unknown_version", "/before")


def test_the_same_weights_are_no_comparison(lone: Rig) -> None:
    before = lone.deployed()
    problem(lone.post("/audit-reports", json=wish(before, before)), 422, "same_weights", "/after")


def test_a_gold_that_shares_weights_with_an_audited_version_is_refused(lone: Rig) -> None:
    before, after = lone.deployed(), second(lone)
    gold = second(lone, role="gold")  # the bytes of `after`
    audit = {"gold": "registered", "gold_versions": [gold]}
    asked = wish(before, after, audit=audit)
    problem(lone.post("/audit-reports", json=asked), 422, "gold_shares_weights", "/audit/gold_versions/0")
    with transaction() as session:  # other bytes, but trained on from an audited version
        row = session.get_one(ModelVersion, gold)
        row.weights_sha256, row.parent_id = "9" * 64, before
    problem(lone.post("/audit-reports", json=asked), 422, "gold_shares_weights", "/audit/gold_versions/0")
    with transaction() as session:
        session.get_one(ModelVersion, gold).parent_id = None
    assert lone.post("/audit-reports", json=asked).status_code == 202


def test_a_metric_whose_needs_are_missing_says_which(lone: Rig) -> None:
    before, after = lone.deployed(), second(lone)
    with transaction() as session:
        dataset = session.scalars(select(Dataset)).one()
        dataset.counts = {"train": (dataset.counts or {})["train"]}
    named = wish(before, after, audit={"metrics": [{"name": "accuracy"}, {"name": "mia"}]})
    told = problem(lone.post("/audit-reports", json=named), 422, "metric_needs_unmet", "/audit/metrics/1")
    assert "held-out data" in told["errors"][0]["message"]
    assert lone.post("/audit-reports", json=wish(before, after)).status_code == 202  # by default: what can be


def test_a_metric_that_must_carry_out_the_method_again_belongs_to_a_forget_request(lone: Rig) -> None:
    before, after = lone.deployed(), second(lone)
    named = wish(before, after, audit={"metrics": [{"name": "accuracy"}, {"name": "neurips_2023"}]})
    told = problem(lone.post("/audit-reports", json=named), 422, "metric_needs_unmet", "/audit/metrics/1")
    assert "forget request" in told["errors"][0]["message"]


def test_another_scope_is_needed_to_ask_than_to_read(lone: Rig) -> None:
    before, after = lone.deployed(), second(lone)
    reader = lone.with_scopes("audit-reports:read")
    problem(reader.post("/audit-reports", json=wish(before, after)), 403, "scope_missing")
