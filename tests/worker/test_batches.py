"""Several requests that wait for a busy model become one job, one version, and a report each."""

import pytest
from sqlalchemy import func, select

from app.audit_log import service as audit_log
from app.audit_reports import service as audit_reports
from app.audit_reports.certificate import KnownKey, check, file_of
from app.audit_reports.stand_alone import follow
from app.core.db import reading, transaction
from app.core.settings import get_settings
from app.core.signing import public_key_of
from app.domain.lifecycle import JobStatus, RequestStatus
from app.forget_requests import planning
from app.forget_requests import service as forget_requests
from app.forget_requests.queries import excluded_positions
from app.forget_requests.schemas import ForgetRequestIn
from app.jobs import service as jobs
from app.models import aliases
from app.tables import AuditReport, Dataset, ForgetRequest, Job, Model, ModelVersion, Tombstone
from tests.worker.test_pipeline import TEST, TRAIN, Killed, Rig, Try, nothing, rig
from worker import run_job
from worker.channel import Order
from worker.pipeline import STORIES

__all__ = ["rig"]

METHOD = {"name": "gradient_ascent", "steps": 3, "learning_rate": 1e-4}


@pytest.fixture
def base(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version that `deployed` points to; its Fisher diagonal is never computed."""
    monkeypatch.setattr(forget_requests, "excluded_positions", excluded_positions)  # the rig's own is made up
    version_id = rig.version(1)
    with transaction() as session:
        session.get_one(Dataset, "ds_1").counts = {"train": {"0": TRAIN}, "test": {"0": TEST}}
        version = session.get_one(ModelVersion, version_id)
        jobs.cancel(session, session.get_one(Job, version.job_id))
        aliases.point(session, session.get_one(Model, "mod_1"), "deployed", version_id, if_match=None, actor="key_1")
    return version_id


def submit(rig: Rig, *numbers: int, **changes: object) -> ForgetRequest:
    target = {"kind": "samples", "dataset": "digits", "sample_ids": [f"d{number:04d}" for number in numbers]}
    audit = {"metrics": [{"name": "accuracy"}]}
    wish = {"model": "reader", "target": target, "method": METHOD, "audit": audit, **changes}
    with transaction() as session:
        return forget_requests.submit(
            session, ForgetRequestIn.model_validate(wish), tenant_id=rig.tenant.id, actor="key_1"
        )


def claimed(job_id: str | None) -> Order:
    with transaction() as session:
        assert planning.ready(session, job_id or "")
        job = jobs.claim(session, job_id or "", owner="test")
        assert job is not None
        follow(session, job)
        return Order(job.id, job.fence)


def carry_out(order: Order, interrupt: object = nothing) -> None:
    run_job._attempt(order, Try(order, interrupt), STORIES, follow)  # type: ignore[arg-type]  # not a child's run


def rows(*requests: ForgetRequest) -> list[ForgetRequest]:
    with reading() as session:
        return [session.get_one(ForgetRequest, request.id) for request in requests]


def test_three_requests_that_come_while_the_model_is_busy_become_one_job_and_three_reports(rig: Rig, base: str) -> None:
    busy = submit(rig, 0)
    order = claimed(busy.job_id)
    first, second, third = submit(rig, 1), submit(rig, 2, 3, external_id="DSAR-2"), submit(rig, 4)
    assert len({busy.job_id, first.job_id, second.job_id, third.job_id}) == 2
    carry_out(order)
    carry_out(claimed(first.job_id))

    before, *together = rows(busy, first, second, third)
    assert [request.status for request in (before, *together)] == [RequestStatus.COMPLETED] * 4
    assert before.base_version_id == base
    assert {request.base_version_id for request in together} == {before.result_version_id}
    assert len({request.result_version_id for request in together}) == 1
    assert len({request.audit_report_id for request in together}) == 3
    with reading() as session:
        assert session.scalar(select(func.count()).where(Tombstone.forgotten_at.is_not(None))) == 5
        assert audit_log.verify(session, rig.tenant.id) is None
        reports = [session.get_one(AuditReport, request.audit_report_id) for request in (before, *together)]
    known = [KnownKey(public_key_of(get_settings().signing_key.get_secret_value()), None)]
    alone, *bodies = [check(file_of(row.body or {}, row.envelope or {}), known).body for row in reports]
    assert alone["batch"] is None
    assert [body["asked"]["forget_request"] for body in bodies] == [first.id, second.id, third.id]
    assert [body["asked"]["samples"] for body in bodies] == [1, 2, 1]
    assert bodies[1]["asked"]["external_id"] == "DSAR-2"
    assert [body["batch"]["own"]["samples"] for body in bodies] == [1, 2, 1]
    assert all((body["batch"]["requests"], body["batch"]["samples"]) == (3, 4) for body in bodies)
    assert all(body["sizes"]["forget"] == 4 for body in bodies)
    assert all(body["sizes"]["retain"] == TRAIN - 5 for body in bodies)  # nor what was forgotten before
    assert all(any("together with 2 others" in sentence for sentence in body["summary"]) for body in bodies)
    found = next(f for f in bodies[0]["findings"] if (f["measure"], f["on"]) == ("accuracy", "forget"))
    for when in ("before", "after"):  # the requests' own accuracies are those of the whole, in parts
        parts = sum(body["batch"]["own"][when] * body["batch"]["own"]["samples"] for body in bodies)
        assert parts / 4 == pytest.approx(found[when])
    for row, body in zip(reports, [alone, *bodies], strict=True):
        for entry in body["figures"]:
            with reading() as session:
                drawing = audit_reports.figure(session, row.id, entry["name"], "svg", tenant_id=rig.tenant.id)
            assert drawing.startswith(b"<")
    assert [body["figures"] for body in bodies] == [bodies[0]["figures"]] * 3


def test_an_attempt_after_a_crash_carries_out_the_same_batch(rig: Rig, base: str) -> None:  # noqa: ARG001 - deployed
    first, second = submit(rig, 1), submit(rig, 2)
    order = claimed(first.job_id)

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        carry_out(order, kill)
    with transaction() as session:
        job = jobs.give_back(session, order.job, order.fence, "crashed")
        assert job is not None
        follow(session, job)
    late = submit(rig, 3)
    carry_out(claimed(first.job_id))
    assert [request.status for request in rows(first, second)] == [RequestStatus.COMPLETED] * 2
    assert rows(late)[0].status is RequestStatus.QUEUED
    with transaction() as session:
        jobs.cancel(session, session.get_one(Job, late.job_id))


def test_what_cannot_be_done_any_more_fails_with_the_reason(rig: Rig, base: str) -> None:
    with transaction() as session:
        row = session.get_one(ModelVersion, base)
        row.fisher_path, row.fisher_sha256 = "/nowhere", "0" * 64
    request = submit(rig, 1, method={"name": "rld"})
    with transaction() as session:
        session.get_one(ModelVersion, base).fisher_path = None
    carry_out(claimed(request.job_id))
    (over,) = rows(request)
    assert (over.status, over.status_reason) == (RequestStatus.FAILED, "method_needs_unmet")
    assert "stored Fisher" in (over.status_detail or "")
    with reading() as session:
        assert session.get_one(Job, request.job_id).status is JobStatus.FAILED
