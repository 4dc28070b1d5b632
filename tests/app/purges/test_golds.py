"""Gold models that have seen what was forgotten since go with the first version that is purged."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.db import now, reading, transaction
from app.core.ids import new_id
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service as jobs
from app.models import golds
from app.purges import queries
from app.purges.files import destroy_purged
from app.tables import GoldModel, Job, Model, Tombstone
from tests.app.forget_requests.test_forget_requests import samples, submit
from tests.app.forget_requests.test_planning import deploy, finish
from tests.app.purges.purging import base_with_files, entries, purged
from tests.app.web.rig import Rig

RETRAIN = {"method": {"name": "retrain"}}


@pytest.fixture(autouse=True)
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transactions of these tests end at once."""
    monkeypatch.setattr(queries, "LAG", timedelta(0))


def keep(rig: Rig, job_id: str, name: str) -> Path:
    """A gold model that the job trained, kept; its file."""
    path = rig.home.path / f"{name}.safetensors"
    path.write_bytes(name.encode())
    with transaction() as session:
        golds.keep(
            session, session.query(Model).one().id, name, job_id=job_id, weights_path=str(path),
            weights_sha256=name.ljust(64, "0"), weights_bytes=1, seconds=1.0,
        )  # fmt: skip
    return path


def audit_job(*, started: bool = True) -> str:
    """A job about nothing that began just now, as that of a stand-alone audit."""
    with transaction() as session:
        job = jobs.enqueue(session, tenant_id="tn_test", kind=JobKind.AUDIT, subject_id=new_id("ar"), actor="key_1")
        if started:
            jobs.transition(session, job, JobStatus.RUNNING)
        return job.id


def made(rig: Rig, *ids: str, **changes: Any) -> tuple[str, str]:
    """The version that a request for these samples makes, and its job."""
    request = submit(rig, samples(*ids), **RETRAIN, **changes)
    return finish(request), request["job_id"]


def kept() -> set[str]:
    with reading() as session:
        return {row.digest for row in session.query(GoldModel)}


def test_only_golds_that_saw_what_was_forgotten_since_go_with_a_purged_version(api: Rig) -> None:
    base = base_with_files(api)
    early = audit_job()
    _, first = made(api, "train-01")
    new, second = made(api, "train-02")
    late = audit_job()
    files = {name: keep(api, job, name) for name, job in
             {"early": early, "first": first, "second": second, "late": late}.items()}  # fmt: skip
    deploy(api, new)
    purged(api, base)
    with reading() as session:
        model = session.query(Model).one()
        assert golds.find(session, model.id, "early") is None
        assert golds.find(session, model.id, "second") is not None
        ids = {row.digest: row.id for row in session.query(GoldModel)}
    assert {gold["id"] for gold in entries(base)[-1].data["gold_models"]} == {ids["early"], ids["first"]}
    destroy_purged()
    assert kept() == {"second", "late"}
    assert {name for name, path in files.items() if path.exists()} == {"second", "late"}
    (entry,) = entries(ids["early"])
    assert (entry.action, entry.data["files"][0]["file"]) == ("gold_model.destroyed", "early.safetensors")


def forgotten_again(api: Rig) -> None:
    """By another request, a moment later: as one to every model has it, or a version of another line."""
    other = submit(api, samples("train-05"), **RETRAIN)["id"]
    with transaction() as session:
        row = session.query(Tombstone).filter(Tombstone.position == 1).one()
        session.add(
            Tombstone(
                id=new_id("ts"), tenant_id="tn_test", model_id=row.model_id, dataset_id=row.dataset_id,
                forget_request_id=other, position=row.position, scope=row.scope, forgotten_at=now(session),
            )
        )  # fmt: skip


def test_what_others_forget_of_the_same_samples_is_no_reason(api: Rig) -> None:
    base_with_files(api)
    _, own = made(api, "train-01")
    later = audit_job()
    forgotten_again(api)
    with reading() as session:
        model = session.query(Model).one()
        assert [queries.is_outdated(session, model, job) for job in (own, later)] == [False, False]


def test_a_sample_that_was_left_in_without_its_feature_counts_when_all_of_it_is_forgotten(api: Rig) -> None:
    base_with_files(api)
    _, own = made(api, "train-01")
    with transaction() as session:
        session.query(Tombstone).one().scope = "feature"
        assert not queries.is_outdated(session, session.query(Model).one(), own)
    made(api, "train-01", version=api.get("/models/net/aliases/deployed").json()["version_id"])
    with reading() as session:
        assert queries.is_outdated(session, session.query(Model).one(), own)


def test_what_ends_within_the_lag_before_a_job_begins_counts_as_afterwards(lone: Rig) -> None:
    base_with_files(lone)
    made(lone, "train-01")
    job = audit_job()
    with reading() as session:
        model = session.query(Model).one()
        assert not queries.is_outdated(session, model, job)
        assert queries.is_outdated(session, model, job, lag=timedelta(minutes=1))
        assert session.get_one(Job, job).started_at is not None
