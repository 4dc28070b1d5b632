"""A search as a job: whoever is killed and whenever, its trials are those of a search that nobody disturbed."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.core.digests import sha256_of
from app.core.ids import new_id
from app.core.settings import get_settings
from app.domain.lifecycle import DatasetStatus, JobKind, JobStatus, VersionStatus
from app.forget_requests import service as forget_requests
from app.forget_requests.service import follow
from app.jobs import queries
from app.jobs import service as jobs
from app.methods.finetune import FinetuneParams
from app.searches import service as searches
from app.searches.schemas import SearchIn, SearchOut
from app.tables import Dataset, Job, Model, ModelVersion, Search, SearchTrial, Tenant
from tests.conftest import Home
from tests.journeys import material
from worker import run_job
from worker import search as story
from worker.channel import Order
from worker.datasets import Manifest, validate
from worker.numerics.errors import NonFinite
from worker.numerics.run import Cancelled, Quiet, Run
from worker.pipeline import STORIES
from worker.rehearsal import Rehearsal, Scored

TRIALS = 14
RATES = {"kind": "float", "low": 1e-4, "high": 30.0, "log": True}
FINETUNE = {"method": {"name": "finetune", "epochs": 1}, "space": {"rate_factor": RATES}}


class Killed(BaseException):
    """As if the child had been killed."""


class Try(Quiet):
    """One attempt, in this process."""

    def __init__(self, order: Order, hear: Callable[[str, int], None]) -> None:
        super().__init__()
        self.folder = get_settings().runs / order.job / str(order.fence)
        self.folder.mkdir(parents=True)
        self._hear = hear

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        assert phase != "trials" or (total, unit) == (TRIALS, "trials")
        self._hear(phase, completed)


def quietly(_: str, __: int) -> None:
    pass


def attempt(search_id: str, hear: Callable[[str, int], None] = quietly) -> Job:
    """One attempt at the search's job."""
    with transaction() as session:
        job_id = session.get_one(Search, search_id).job_id or ""
        assert job_id in queries.waiting(session, 100)
        job = jobs.claim(session, job_id, owner="test")
        assert job is not None
    order = Order(job.id, job.fence)
    run_job._attempt(order, Try(order, hear), STORIES, follow)  # type: ignore[arg-type]  # not a child's run
    with reading() as session:
        return session.get_one(Job, job_id)


def given_back(search_id: str) -> None:
    with transaction() as session:
        job = session.get_one(Job, session.get_one(Search, search_id).job_id)
        jobs.give_back(session, job.id, job.fence, "crashed")


@dataclass
class Rig:
    """A ready model; its data are few."""

    tenant: Tenant

    def submit(self, target: dict[str, Any] | None = None, **changes: Any) -> str:
        wish = {
            "model": "reader",
            "version": "mv_" + "0" * 32,
            "target": target or {"kind": "class", "dataset": "digits", "label": 1},
            "candidates": [FINETUNE],
            "trials": TRIALS,
            "gold": None if target else "none",
            "validation": {"kind": "folds", "count": 2},
            **changes,
        }
        with transaction() as session:
            return searches.submit(session, SearchIn.model_validate(wish), tenant_id=self.tenant.id, actor="key_1").id

    def found(self, search_id: str) -> SearchOut:
        with reading() as session:
            return searches.describe(session, session.get_one(Search, search_id))


def trials(search_id: str) -> list[dict[str, Any]]:
    """All that must not depend on who was killed."""
    with reading() as session:
        query = select(SearchTrial).where(SearchTrial.search_id == search_id).order_by(SearchTrial.number)
        names = ("number", "candidate", "method", "searched", "value", "parts", "code", "detail")
        return [{name: getattr(row, name) for name in names} for row in session.scalars(query)]


@pytest.fixture
def rig(home: Home, tenant: Tenant) -> Rig:
    path = material.write_parquet(home.data / "d.parquet")
    index, weights = home.path / "index.sqlite", home.path / "w.safetensors"
    facts = validate(Manifest(path, material.COLUMNS), classes=10, index_path=index, run=Quiet())
    weights.write_bytes(material.weights())
    document = material.model_in("reader")
    with transaction() as session:
        dataset = Dataset(
            id=new_id("ds"), tenant_id=tenant.id, name="digits", path=str(path), columns=material.COLUMNS, classes=10,
            status=DatasetStatus.READY, sha256=facts.sha256, rows=facts.rows, input_shape=list(facts.input_shape),
            counts=facts.counts, index_path=str(index),
        )  # fmt: skip
        session.add(dataset)
        session.flush()
        kept = ("architecture", "preprocessing", "recipe")
        recipe = {"momentum": 0.9, "weight_decay": 0.0, "schedule": "cosine", "clip": None, "optimizer": "sgd"}
        facts_of = {**document, "recipe": {**recipe, **document["recipe"], "epochs": 2}}
        model = Model(id=new_id("mod"), tenant_id=tenant.id, name="reader", dataset_id=dataset.id,
                      **{name: facts_of[name] for name in kept})  # fmt: skip
        session.add(model)
        session.flush()
        session.add(
            ModelVersion(
                id="mv_" + "0" * 32,
                tenant_id=tenant.id,
                model_id=model.id,
                number=1,
                status=VersionStatus.READY,
                role="candidate",
                weights_path=str(weights),
                weights_sha256=sha256_of(weights),
                silenced_classes=[],
                weights_bytes=weights.stat().st_size,
            )
        )
    return Rig(tenant)


def test_a_search_that_is_killed_at_a_random_trial_finds_what_an_undisturbed_one_finds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = story.tried

    def diverging(rehearsal: Rehearsal, method: FinetuneParams, run: Run) -> Scored:
        if method.rate_factor > 3:
            raise NonFinite("the loss is nan")
        return real(rehearsal, method, run)

    monkeypatch.setattr(story, "tried", diverging)
    undisturbed = rig.submit()
    assert attempt(undisturbed).status is JobStatus.SUCCEEDED
    found = rig.found(undisturbed)
    assert (found.trials_succeeded + found.trials_failed, found.status) == (TRIALS, JobStatus.SUCCEEDED)
    assert found.trials_failed > 0
    assert {t["code"] for t in trials(undisturbed)} == {None, "non_finite"}
    assert found.best is not None
    assert found.best.value == min(t["value"] for t in trials(undisturbed) if t["value"] is not None)

    disturbed = rig.submit()
    rng = random.Random()  # noqa: S311 - at another trial each time the tests run
    for over in sorted(rng.sample(range(1, TRIALS), 2)):

        def kill(phase: str, completed: int, over: int = over) -> None:
            if phase == "trials" and completed == over:
                raise Killed

        with pytest.raises(Killed):
            attempt(disturbed, kill)
        assert len(trials(disturbed)) == over
        given_back(disturbed)
    job = attempt(disturbed)
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 3)
    assert trials(disturbed) == trials(undisturbed)


def test_another_seed_finds_something_else(rig: Rig) -> None:
    first, second = (rig.submit(seed=seed, trials=TRIALS) for seed in (1, 2))
    for search in (first, second):
        attempt(search)
    assert [t["searched"] for t in trials(first)] != [t["searched"] for t in trials(second)]


def test_when_something_is_forgotten_between_two_attempts_the_trials_begin_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = rig.submit()

    def kill(phase: str, completed: int) -> None:
        if phase == "trials" and completed == 3:
            raise Killed

    with pytest.raises(Killed):
        attempt(search, kill)
    given_back(search)
    monkeypatch.setattr(forget_requests, "excluded_positions", lambda *_: list(range(40)))
    heard: list[int] = []
    attempt(search, lambda phase, completed: heard.append(completed) if phase == "trials" else None)
    assert heard[0] == 0
    assert [t["number"] for t in trials(search)] == list(range(TRIALS))


def test_a_search_that_is_cancelled_stops_within_a_trial_and_keeps_those_that_are_over(rig: Rig) -> None:
    search = rig.submit()

    def cancel(phase: str, completed: int) -> None:
        if phase == "trials" and completed == 2:
            with transaction() as session:
                searches.cancel(session, session.get_one(Search, search), actor="key_1")
            raise Cancelled(phase)

    assert attempt(search, cancel).status is JobStatus.CANCELLED
    assert [t["number"] for t in trials(search)] == [0, 1]


def test_an_attempt_that_lost_its_claim_records_no_trial(rig: Rig) -> None:
    search = rig.submit()

    def lose(phase: str, completed: int) -> None:
        if phase == "trials" and completed == 2:
            with transaction() as session:
                job = session.get_one(Job, session.get_one(Search, search).job_id)
                if job.status is JobStatus.RUNNING:
                    jobs.give_back(session, job.id, job.fence, "lease_expired")

    assert attempt(search, lose).status is JobStatus.QUEUED
    assert len(trials(search)) == 2


def test_a_search_whose_trials_all_fail_has_no_best(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverges(*_: object) -> None:
        raise NonFinite("the loss is nan")

    monkeypatch.setattr(story, "tried", diverges)
    search = rig.submit()
    assert attempt(search).status is JobStatus.SUCCEEDED
    found = rig.found(search)
    assert (found.trials_failed, found.best) == (TRIALS, None)


@pytest.mark.parametrize(
    ("target", "objective"),
    [
        ({"kind": "samples", "dataset": "digits", "sample_ids": [f"d{n:04}" for n in range(0, 200, 9)]}, "gap_to_gold"),
        ({"kind": "class", "dataset": "digits", "label": 1}, "gap_to_gold"),
        (
            {"kind": "backdoor", "dataset": "digits", "filter": {"label": material.TRIGGERED_CLASS},
             "transform": material.TRIGGER.model_dump(mode="json")},
            "min_accuracy",
        ),
    ],
)  # fmt: skip
def test_every_kind_is_rehearsed(rig: Rig, target: dict[str, Any], objective: str) -> None:
    search = rig.submit(target, trials=TRIALS)
    with reading() as session:
        assert session.get_one(Job, session.get_one(Search, search).job_id).kind is JobKind.SEARCH
    assert attempt(search).status is JobStatus.SUCCEEDED
    found = rig.found(search)
    assert found.objective.name == objective
    assert found.best is not None
    assert found.best.value is not None
    values = [t["value"] for t in trials(search) if t["value"] is not None]
    assert found.best.value == (max(values) if objective == "min_accuracy" else min(values))
    assert len(trials(search)[0]["parts"]) == 2


def test_a_checkpoint_belongs_to_one_trial_on_one_validation_part() -> None:
    kept: dict[str, Any] = {}

    class Keeping(Quiet):
        def save(self, name: str, checkpoint: Any) -> None:
            kept[name] = checkpoint

        def saved(self, name: str) -> Any:
            return kept.get(name)

    counting = story.Counting(Keeping(), done=3, total=9)
    counting.on(1).save("descend", ({}, {"done": 5}))
    assert counting.on(2).saved("descend") is None
    again = story.Counting(Keeping(), done=3, total=9)
    found = again.on(1).saved("descend")
    assert found is not None
    assert found[1]["done"] == 5
    again.one_more()
    assert again.on(1).saved("descend") is None  # another trial, maybe of the same method
