"""An unlearning job that is cancelled or killed, at whatever stage: nothing is published, or what would have been."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from app.core.db import reading, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobStatus, RequestStatus
from app.forget_requests import service as forget_requests
from app.forget_requests.schemas import ForgetRequestIn
from app.forget_requests.service import follow
from app.jobs import service as jobs
from app.tables import ForgetRequest, Job
from tests.worker.test_search import Rig, rig
from worker import pipeline, run_job
from worker.channel import Order
from worker.numerics import descent
from worker.numerics.run import Cancelled, Checkpoint, Quiet
from worker.pipeline import STORIES

__all__ = ["rig"]

Hear = Callable[[str], None]


class Killed(BaseException):
    """As if the child had been killed."""


class Try(Quiet):
    """One attempt, in this process; its checkpoints outlive it."""

    def __init__(self, order: Order, kept: dict[str, Checkpoint], hear: Hear) -> None:
        super().__init__()
        self.folder = get_settings().runs / order.job / str(order.fence)
        self.folder.mkdir(parents=True)
        self._kept, self._hear = kept, hear

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:  # noqa: ARG002 - the protocol's
        self._hear(phase)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        tensors, facts = checkpoint
        self._kept[name] = ({key: tensor.clone() for key, tensor in tensors.items()}, dict(facts))

    def saved(self, name: str) -> Checkpoint | None:
        return self._kept.get(name)


def submit(rig: Rig) -> str:
    wish = {
        "model": "reader",
        "version": "mv_" + "0" * 32,
        "target": {"kind": "class", "dataset": "digits", "label": 1},
        "method": {"name": "finetune", "epochs": 1},
        "audit": {"metrics": [{"name": "accuracy"}], "gold": "retrain"},
    }
    with transaction() as session:
        request = forget_requests.submit(
            session, ForgetRequestIn.model_validate(wish), tenant_id=rig.tenant.id, actor="key_1"
        )
    return request.id


def attempt(request_id: str, hear: Hear, kept: dict[str, Checkpoint] | None = None) -> Job:
    with transaction() as session:
        job_id = session.get_one(ForgetRequest, request_id).job_id or ""
        job = jobs.claim(session, job_id, owner="test")
        assert job is not None
        follow(session, job)
    order = Order(job.id, job.fence)
    run = Try(order, {} if kept is None else kept, hear)
    run_job._attempt(order, run, STORIES, follow)  # type: ignore[arg-type]  # not a child's run
    with reading() as session:
        return session.get_one(Job, job.id)


def give_back(request_id: str) -> None:
    with transaction() as session:
        job = session.get_one(Job, session.get_one(ForgetRequest, request_id).job_id)
        back = jobs.give_back(session, job.id, job.fence, "worker_stopped", excused=True)
        assert back is not None
        follow(session, back)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What would have been published; the attempt ends there."""
    found: list[tuple[Any, Any]] = []

    def capture(*arguments: Any) -> None:
        climbed, measured = arguments[5:7]
        found.append((climbed.outcome, measured))
        raise Killed

    monkeypatch.setattr(pipeline, "_publish_version", capture)
    return found


def test_at_every_stage_a_cancelled_job_is_cancelling_and_then_cancelled(rig: Rig) -> None:
    stages = ["rung_1_finetune", "gold_1", "evaluate", "draw", "publish"]
    for stage in stages:
        request_id = submit(rig)
        seen: list[Mapping[str, Any]] = []

        def cancel(
            phase: str, stage: str = stage, request_id: str = request_id, seen: list[Mapping[str, Any]] = seen
        ) -> None:
            if stage in phase and not seen:
                with transaction() as session:
                    request = session.get_one(ForgetRequest, request_id)
                    forget_requests.cancel(session, request, actor="key_1")
                with reading() as session:
                    request = session.get_one(ForgetRequest, request_id)
                    seen.append({"request": request.status, "job": session.get_one(Job, request.job_id).status})
            if seen:
                raise Cancelled(phase)  # as the channel has it, once the supervisor has passed it on

        assert attempt(request_id, cancel).status is JobStatus.CANCELLED, stage
        assert seen == [{"request": RequestStatus.CANCELLING, "job": JobStatus.CANCELLING}], stage
        with reading() as session:
            request = session.get_one(ForgetRequest, request_id)
        assert (request.status, request.result_version_id) == (RequestStatus.CANCELLED, None)


def test_killed_again_and_again_it_publishes_what_an_undisturbed_job_publishes(
    rig: Rig, captured: list[tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    request_id = submit(rig)
    heard: list[str] = []
    with pytest.raises(Killed):
        attempt(request_id, heard.append)
    give_back(request_id)
    kept: dict[str, Checkpoint] = {}
    for _ in range(4):
        left = [random.randint(1, len(heard) // 2)]  # noqa: S311 - elsewhere each time the tests run

        def kill(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        with pytest.raises(Killed):
            attempt(request_id, kill, kept)
        give_back(request_id)
    with pytest.raises(Killed):
        attempt(request_id, lambda _: None, kept)
    (outcome, measured), *_, (resumed, measured_again) = captured
    assert outcome.weights.keys() == resumed.weights.keys()
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in outcome.weights.items())
    assert measured_again.findings == measured.findings
    assert measured_again.method_facts == measured.method_facts
