"""A Fisher diagonal in shards is the one of a single pass, whatever happens on the way."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from app.audit_reports.stand_alone import follow
from app.core.db import reading, transaction
from app.core.digests import sha256_of
from app.core.settings import get_settings
from app.domain.lifecycle import DatasetStatus, JobStatus, VersionStatus
from app.forget_requests import service as forget_requests
from app.jobs import queries
from app.jobs import service as jobs
from app.models import service as models
from app.models.schemas import FisherIn
from app.scheduler import sweep
from app.tables import Dataset, Job, Model, ModelVersion, Tenant
from tests.conftest import Home
from tests.journeys import material
from worker import artifacts, pipeline, run_job
from worker.channel import Order
from worker.datasets import Manifest, validate
from worker.numerics.fisher import Fisher
from worker.numerics.run import Quiet
from worker.numerics.weights import Build, Weights, network_with
from worker.pipeline import STORIES

TRAIN, TEST = 40, 8
_numbers = itertools.count(1)


class Killed(BaseException):
    """As if the child had been killed."""


class Try(Quiet):
    """One attempt, in this process."""

    def __init__(self, order: Order, interrupt: Callable[[], None]) -> None:
        super().__init__()
        self.folder = get_settings().runs / order.job / str(order.fence)
        self.folder.mkdir(parents=True)
        self._interrupt = interrupt

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:  # noqa: ARG002 - the protocol's
        self._interrupt()


def nothing() -> None:
    pass


@dataclass
class Rig:
    """A ready model whose data set has a test sample between the training samples; versions with equal weights."""

    tenant: Tenant
    dataset: Path
    forgotten: list[int]

    def version(self, shards: int) -> str:
        """A version whose Fisher diagonal waits to be computed."""
        weights = self.dataset.with_name("w.safetensors")
        weights.write_bytes(material.weights())
        number = next(_numbers)
        with transaction() as session:
            version = ModelVersion(
                id=f"mv_{number}",
                tenant_id=self.tenant.id,
                model_id="mod_1",
                number=number,
                status=VersionStatus.READY,
                weights_path=str(weights),
                weights_sha256=sha256_of(weights),
                weights_bytes=weights.stat().st_size,
                silenced_classes=[],
            )
            session.add(version)
            session.flush()
            models.compute_fisher(session, version, FisherIn(shards=shards), actor="key_1")
        return version.id

    def computed(self, shards: int) -> tuple[ModelVersion, Fisher, torch.Tensor]:
        """A version after all its jobs, and what is stored of it."""
        return stored(self.version(shards))


def run_next(interrupt: Callable[[], None] = nothing) -> Job | None:
    """One attempt at the job that has waited longest."""
    with transaction() as session:
        waiting = queries.waiting(session, 1)
        job = jobs.claim(session, waiting[0], owner="test") if waiting else None
    if job is not None:
        order = Order(job.id, job.fence)
        run_job._attempt(order, Try(order, interrupt), STORIES, follow)  # type: ignore[arg-type]  # not a child's run
    return job


def stored(version_id: str) -> tuple[ModelVersion, Fisher, torch.Tensor]:
    while run_next():
        pass
    with reading() as session:
        version = session.get_one(ModelVersion, version_id)
    assert version.fisher_path
    return version, *artifacts.read_fisher(Path(version.fisher_path), sha256=version.fisher_sha256 or "")


def fisher_jobs(version_id: str, *, pending: bool = False) -> tuple[Job, list[Job]]:
    """The newest job of the version, and its shards."""
    with reading() as session:
        version = session.get_one(ModelVersion, version_id)
        assert (models.fisher_status(session, version) == "pending") is pending
        return session.get_one(Job, version.job_id), list(queries.shards_of(session, version.job_id or ""))


def left_in_runs() -> list[str]:
    runs = get_settings().runs
    sweep(runs)
    return [path.name for path in runs.iterdir()] if runs.exists() else []


@pytest.fixture
def rig(database: Home, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    whole = material.write_parquet(database.data / "whole.parquet")
    table = pq.read_table(whole).slice(0, TRAIN + TEST)
    splits = ["test" if position % 6 == 5 else "train" for position in range(TRAIN + TEST)]
    table = table.drop_columns("split").append_column("split", [splits])
    path = database.data / "d.parquet"
    pq.write_table(table, path)
    index = database.path / "index.sqlite"
    facts = validate(Manifest(path, material.COLUMNS), classes=10, index_path=index, run=Quiet())
    document = material.model_in("reader")
    with transaction() as session:
        dataset = Dataset(
            id="ds_1",
            tenant_id=tenant.id,
            name="digits",
            path=str(path),
            columns=material.COLUMNS,
            classes=10,
            status=DatasetStatus.READY,
            sha256=facts.sha256,
            input_shape=list(facts.input_shape),
            index_path=str(index),
        )
        session.add(dataset)
        session.flush()
        model = Model(
            id="mod_1",
            tenant_id=tenant.id,
            name="reader",
            architecture=document["architecture"],
            preprocessing=document["preprocessing"],
            dataset_id="ds_1",
        )
        session.add(model)
    forgotten = list[int]()
    monkeypatch.setattr(forget_requests, "excluded_positions", lambda *_: list(forgotten))
    yield Rig(tenant, path, forgotten)
    assert left_in_runs() == []


def assert_same(found: Fisher, expected: Fisher, *, tolerance: float) -> None:
    assert found.count == expected.count
    assert found.sums.keys() == expected.sums.keys()
    for name, total in expected.sums.items():
        assert (found.sums[name] - total).norm() <= tolerance * total.norm()


@pytest.mark.parametrize("shards", [2, 3, 64])
def test_shards_add_up_to_a_single_pass(rig: Rig, shards: int) -> None:
    rig.forgotten += [0, 1, 20, 47]
    _, single, left_out = rig.computed(1)
    version, fisher, excluded = rig.computed(shards)
    assert single.count == fisher.count == version.fisher_count == TRAIN - 3  # 47 is a test sample
    assert_same(fisher, single, tolerance=1e-5)  # gradients are float32, and their batches are others
    assert excluded.tolist() == left_out.tolist() == [0, 1, 20, 47]
    assert (fisher.weights_sha256, fisher.data_sha256) == (single.weights_sha256, single.data_sha256)
    whole, parts = fisher_jobs(version.id)
    assert {job.status for job in (whole, *parts)} == {JobStatus.SUCCEEDED}
    assert len(parts) == shards


def test_in_float64_shards_differ_from_a_single_pass_by_rounding_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "network_with", in_float64)
    _, single, _ = rig.computed(1)
    _, fisher, _ = rig.computed(7)
    assert_same(fisher, single, tolerance=1e-14)


def in_float64(build: Build, weights: Weights) -> nn.Module:
    network = network_with(build, weights).double()
    network.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    return network


def test_the_sum_is_that_of_what_the_shards_left(rig: Rig) -> None:
    version_id = rig.version(3)
    for _ in range(3):
        run_next()
    _, parts = fisher_jobs(version_id, pending=True)
    folder = get_settings().runs / str(parts[0].whole_id) / "shards"
    left = [
        artifacts.read_fisher(folder / f"{n}.safetensors", sha256=parts[n - 1].shard_sha256 or "") for n in (1, 2, 3)
    ]
    _, fisher, _ = stored(version_id)
    assert [part.count for part, _ in left] == [14, 13, 13]
    expected = left[0][0].plus(left[1][0]).plus(left[2][0])
    assert_same(fisher, expected, tolerance=0)


def test_one_job_does_it_alone_and_a_version_in_one_shard_has_the_same_file(rig: Rig) -> None:
    first, second = rig.computed(1)[0], rig.computed(1)[0]
    assert first.fisher_sha256 == second.fisher_sha256
    assert fisher_jobs(first.id)[1] == []


def test_a_killed_shard_changes_no_bit_of_the_result(rig: Rig) -> None:
    undisturbed, _, _ = rig.computed(3)
    version_id = rig.version(3)
    run_next()

    def kill() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_next(kill)
    _, parts = fisher_jobs(version_id, pending=True)
    assert parts[1].status is JobStatus.RUNNING
    with transaction() as session:
        jobs.give_back(session, parts[1].id, parts[1].fence, "crashed")
    version, _, _ = stored(version_id)
    assert fisher_jobs(version_id)[1][1].attempt == 2
    assert version.fisher_sha256 == undisturbed.fisher_sha256


def test_what_is_forgotten_between_two_shards_is_left_out_where_it_still_can_be(rig: Rig) -> None:
    version_id = rig.version(2)
    run_next()
    rig.forgotten += [0, 46]  # a sample of each half; the first half has been seen already
    _, fisher, excluded = stored(version_id)
    assert (fisher.count, excluded.tolist()) == (TRAIN - 1, [46])


def test_when_all_is_forgotten_the_sum_says_so(rig: Rig) -> None:
    rig.forgotten += range(TRAIN + TEST)
    version_id = rig.version(2)
    while run_next():
        pass
    whole, parts = fisher_jobs(version_id)
    assert {part.status for part in parts} == {JobStatus.SUCCEEDED}
    assert (whole.status, whole.status_reason) == (JobStatus.FAILED, "empty_examples")


def test_a_data_set_that_changes_between_two_shards_ends_all_of_them(rig: Rig) -> None:
    version_id = rig.version(4)
    run_next()
    content = rig.dataset.read_bytes()
    rig.dataset.write_bytes(content + b"more")
    while run_next():
        pass
    whole, parts = fisher_jobs(version_id)
    assert [part.status for part in parts] == [
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    assert (whole.status, whole.status_reason) == (JobStatus.CANCELLED, "shard_failed")
    assert "changed since it was registered" in (whole.status_detail or "")
    rig.dataset.write_bytes(content)
    with transaction() as session:
        models.compute_fisher(session, session.get_one(ModelVersion, version_id), FisherIn(shards=2), actor="key_1")
    assert stored(version_id)[1].count == TRAIN


@pytest.mark.parametrize("gone", ["file", "folder_is_empty"])
def test_a_job_whose_data_set_vanished_fails_with_the_reason_and_is_asked_for_again_when_it_is_back(
    rig: Rig, gone: str
) -> None:
    version_id, aside = rig.version(1), rig.dataset.with_name("aside")
    rig.dataset.rename(aside)
    if gone == "folder_is_empty":
        rig.dataset.mkdir()  # a storage that is not mounted
    run_next()
    job, _ = fisher_jobs(version_id)
    assert (job.status, job.status_reason, job.attempt) == (JobStatus.FAILED, "dataset_missing", 1)
    assert "put them back and submit anew what needs it" in (job.status_detail or "")
    if gone == "folder_is_empty":
        rig.dataset.rmdir()
    aside.rename(rig.dataset)
    with transaction() as session:
        models.compute_fisher(session, session.get_one(ModelVersion, version_id), FisherIn(shards=1), actor="key_1")
    assert stored(version_id)[1].count == TRAIN


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(Path.unlink, "shard_missing"), (lambda path: path.write_bytes(b"x" * 100), "digest_mismatch")],
)
def test_what_a_shard_left_is_used_only_if_it_is_what_it_was(
    rig: Rig, damage: Callable[[Path], object], reason: str
) -> None:
    version_id = rig.version(2)
    run_next()
    run_next()
    whole, _ = fisher_jobs(version_id, pending=True)
    damage(get_settings().runs / whole.id / "shards" / "2.safetensors")
    run_next()
    whole, _ = fisher_jobs(version_id)
    assert (whole.status, whole.status_reason) == (JobStatus.FAILED, reason)
