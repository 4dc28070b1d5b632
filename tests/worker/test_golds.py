"""Gold models are trained once: a later audit that needs the same ones takes them, bit for bit what they would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.audit_reports import stand_alone
from app.audit_reports.schemas import AuditReportIn
from app.core.db import reading, transaction
from app.core.digests import sha256_of
from app.core.errors import Invalid
from app.domain.lifecycle import JobStatus, VersionStatus
from app.forget_requests import service as forget_requests
from app.forget_requests import tombstones
from app.forget_requests.schemas import ForgetRequestIn
from app.jobs import service as jobs
from app.methods.retrain import RetrainParams
from app.models import golds
from app.tables import AuditReport, ForgetRequest, GoldModel, Job, Model, ModelVersion
from app.tables.base import utcnow
from tests.worker.elsewhere import elsewhere
from tests.worker.test_search import Rig, rig
from tests.worker.test_stages import Try, submit
from tests.worker.test_stages import attempt as carry_out
from worker import registry, run_job
from worker.channel import Order
from worker.golds import environment
from worker.loading import build_of, weights_of
from worker.pipeline import STORIES

__all__ = ["rig"]

BASE = "mv_" + "0" * 32
METRICS = [{"name": "accuracy"}, {"name": "mia"}, {"name": "weight_distance"}]


def test_a_report_names_the_device_that_networks_work_on() -> None:
    assert environment().device == "cpu"
    with elsewhere():
        assert environment().device == "a stand-in"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all retrainings."""
    seeds: list[int] = []
    unlearn = registry.unlearn

    def counting(problem: Any, params: Any) -> Any:
        if isinstance(params, RetrainParams):
            seeds.append(problem.seed)
        return unlearn(problem, params)

    monkeypatch.setattr(registry, "unlearn", counting)
    return seeds


@pytest.fixture
def result(rig: Rig, trained: list[int]) -> str:
    """The version that a forget request made; its audit trained the only gold model."""
    request_id = submit(rig)
    assert carry_out(request_id, lambda _: None).status is JobStatus.SUCCEEDED
    assert len(trained) == 1
    with reading() as session:
        return session.get_one(ForgetRequest, request_id).result_version_id or ""


def audited(rig: Rig, after: str, hear: Callable[[str], None] = lambda _: None, **changes: Any) -> dict[str, Any]:
    """The body of the report of a stand-alone audit of the same class."""
    wish = {
        "model": "reader",
        "before": BASE,
        "after": after,
        "target": {"kind": "class", "dataset": "digits", "label": 1},
        "audit": {"metrics": METRICS, "gold": "retrain"},
        **changes,
    }
    with transaction() as session:
        row = stand_alone.submit(session, AuditReportIn.model_validate(wish), tenant_id=rig.tenant.id, actor="key_1")
    with transaction() as session:
        job = jobs.claim(session, row.job_id or "", owner="test")
        assert job is not None
        stand_alone.follow(session, job)
    order = Order(job.id, job.fence)
    run_job._attempt(order, Try(order, {}, hear), STORIES, stand_alone.follow)  # type: ignore[arg-type]  # not a child's
    with reading() as session:
        over = session.get_one(Job, job.id)
        assert over.status is JobStatus.SUCCEEDED, over.status_detail
        return session.get_one(AuditReport, row.id).body or {}


def kept() -> list[GoldModel]:
    with reading() as session:
        return list(session.scalars(select(GoldModel).order_by(GoldModel.created_at)))


def test_a_later_audit_takes_the_gold_of_a_forget_request_and_finds_what_it_would_with_its_own(
    rig: Rig, result: str, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = kept()
    assert sha256_of(Path(row.weights_path)) == row.weights_sha256
    reused = audited(rig, result)
    assert len(trained) == 1
    assert (reused["cost"]["golds_reused"], reused["cost"]["gold_seconds"]) == (1, row.seconds)
    monkeypatch.setattr(golds, "find", lambda *_: None)
    anew = audited(rig, result)
    assert len(trained) == 2
    assert anew["cost"]["golds_reused"] == 0
    assert any(finding["gold"] for finding in anew["findings"])
    assert reused["findings"] == anew["findings"]
    assert [again.weights_sha256 for again in kept()] == [row.weights_sha256]


def test_only_the_same_gold_is_taken(rig: Rig, result: str, trained: list[int]) -> None:
    more = audited(rig, result, audit={"metrics": METRICS, "gold": "retrain", "gold_seeds": 2})
    assert more["cost"]["golds_reused"] == 1
    assert len(trained) == 2
    assert audited(rig, result, seed=77)["cost"]["golds_reused"] == 0
    assert audited(rig, result, target={"kind": "class", "dataset": "digits", "label": 2})["cost"]["golds_reused"] == 0
    assert len(trained) == len(kept()) == 4


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x" * 100)])
def test_a_gold_whose_file_is_gone_or_changed_is_trained_anew_and_it_is_said(
    rig: Rig, result: str, trained: list[int], damage: Callable[[Path], object]
) -> None:
    (row,) = kept()
    damage(Path(row.weights_path))
    body = audited(rig, result)
    assert len(trained) == 2
    assert body["cost"]["golds_reused"] == 0
    assert str(body["method_facts"]["gold_1_not_reused"]).endswith("trained anew")
    (again,) = kept()
    assert again.weights_sha256 == row.weights_sha256
    assert audited(rig, result)["cost"]["golds_reused"] == 1


def test_another_version_before_makes_no_other_gold(rig: Rig, result: str, trained: list[int]) -> None:
    with transaction() as session:
        base, made = session.get_one(ModelVersion, BASE), session.get_one(ModelVersion, result)
        assert base.weights_sha256 != made.weights_sha256
    assert audited(rig, BASE, before=result)["cost"]["golds_reused"] == 1
    assert len(trained) == 1


def test_an_attempt_that_has_lost_its_fence_keeps_nothing(rig: Rig, trained: list[int]) -> None:
    request_id = submit(rig)

    def take_away(phase: str) -> None:
        if phase == "publish":
            with transaction() as session:
                job = session.get_one(Job, session.get_one(ForgetRequest, request_id).job_id)
                job.fence += 1

    assert carry_out(request_id, take_away).status is JobStatus.RUNNING  # another has it
    assert len(trained) == 1
    assert kept() == []


def test_a_gold_that_has_seen_what_was_forgotten_while_it_was_trained_is_not_kept(rig: Rig, trained: list[int]) -> None:
    request_id = submit(rig)
    wish = {"model": "reader", "version": BASE, "target": {"kind": "class", "dataset": "digits", "label": 2}}
    with transaction() as session:
        asked = ForgetRequestIn.model_validate({**wish, "method": {"name": "retrain"}})
        other = forget_requests.submit(session, asked, tenant_id=rig.tenant.id, actor="key_1")

    def forget_more(phase: str) -> None:
        if phase == "publish":
            with transaction() as session:
                tombstones.seal(session, [other])

    assert carry_out(request_id, forget_more).status is JobStatus.SUCCEEDED
    assert len(trained) == 1
    assert kept() == []


def test_a_gold_that_is_purged_is_trained_anew_and_kept(rig: Rig, result: str, trained: list[int]) -> None:
    with transaction() as session:
        session.scalars(select(GoldModel)).one().purged_at = utcnow()
    assert audited(rig, result)["cost"]["golds_reused"] == 0
    assert len(trained) == 2
    assert [row.purged_at for row in kept()] == [None]


def test_a_job_whose_version_is_purged_under_its_hands_says_so(rig: Rig) -> None:
    request_id = submit(rig)
    with transaction() as session:
        base = session.get_one(ModelVersion, BASE)
        base.status = VersionStatus.PURGED
        with pytest.raises(Invalid, match="is purged"):
            weights_of(base, build_of(session.get_one(Model, base.model_id)))
    over = carry_out(request_id, lambda _: None)
    assert (over.status, over.status_reason) == (JobStatus.FAILED, "version_not_ready")
