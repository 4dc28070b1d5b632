from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.datasets import index, service
from app.datasets.index import Located
from app.domain.lifecycle import ForbiddenArrow, JobKind
from app.tables import AuditLogEntry, Dataset, Job, OutboxMessage
from tests.app.web.rig import Rig, problem


def test_a_registration_is_a_row_a_job_and_a_message(api: Rig) -> None:
    answer = api.post("/datasets", json=api.dataset_body())

    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["location"] == f"/datasets/{body['id']}"
    assert int(answer.headers["retry-after"]) > 0
    with reading() as session:
        job = session.scalars(select(Job)).one()
        assert (job.kind, job.subject_id, body["job_id"]) == (JobKind.DATASET_VALIDATION, body["id"], job.id)
        assert session.scalars(select(OutboxMessage)).one().job_id == job.id
    assert body["status"] == "validating"
    for ref in (body["id"], "faces"):
        assert api.get(f"/datasets/{ref}").json() == body


def test_what_is_polled_and_has_not_changed_is_a_304(api: Rig) -> None:
    dataset = api.post("/datasets", json=api.dataset_body()).json()["id"]
    etag = api.get(f"/datasets/{dataset}").headers["etag"]
    again = api.get(f"/datasets/{dataset}", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    with transaction() as session:
        service.reject(session, dataset, "duplicate_ids", "3 ids stand twice")
    changed = api.get(f"/datasets/{dataset}", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["status_reason"]) == (200, "duplicate_ids")


def test_a_name_is_taken_once(api: Rig) -> None:
    assert api.post("/datasets", json=api.dataset_body()).status_code == 202
    problem(api.post("/datasets", json=api.dataset_body()), 409, "name_taken")
    assert (api.count(Dataset), api.count(Job)) == (1, 1)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/etc/passwd", "path_not_allowed"),
        ("{data}/../secret.parquet", "path_not_allowed"),
        ("{data}-beside/x.parquet", "path_not_allowed"),
        ("relative.parquet", "path_not_allowed"),
        ("{data}/link.parquet", "path_not_allowed"),
        ("{data}/loop.parquet", "path_not_allowed"),
        ("{data}/" + "x" * 300, "path_not_allowed"),
        ("{data}/missing.parquet", "path_not_found"),
        ("{data}/empty", "path_not_found"),
    ],
)
def test_only_paths_below_the_configured_folders(lone: Rig, path: str, code: str) -> None:
    data = lone.home.data
    (data / "link.parquet").symlink_to("/etc/passwd")
    (data / "loop.parquet").symlink_to(data / "loop.parquet")
    (data / "empty").mkdir()

    answer = lone.post("/datasets", json={**lone.dataset_body(), "path": path.format(data=data)})

    problem(answer, 422, code, "/path")
    assert (lone.count(Dataset), lone.count(Job)) == (0, 0)


@pytest.mark.parametrize("change", [{"classes": 1}, {"classes": 100_001}, {"name": "Faces"}, {"name": ""}])
def test_bounds(lone: Rig, change: dict[str, Any]) -> None:
    problem(
        lone.post("/datasets", json={**lone.dataset_body(), **change}), 422, "invalid_request", f"/{next(iter(change))}"
    )


def test_data_sets_of_another_tenant_are_not_there(api: Rig) -> None:
    dataset = api.dataset()
    other = api.other()
    for ref in (dataset, "faces"):
        problem(other.get(f"/datasets/{ref}"), 404, "no_such_dataset")
    assert other.get("/datasets").json()["data"] == []
    assert other.post("/datasets", json=api.dataset_body()).status_code == 202  # names are a tenant's own


def test_settling_is_one_arrow_written_down_and_final(api: Rig) -> None:
    dataset = api.dataset()
    with transaction() as session:
        actions = session.scalars(select(AuditLogEntry.action).where(AuditLogEntry.resource == dataset)).all()
        assert sorted(actions) == ["dataset.ready", "dataset.validating"]
        with pytest.raises(ForbiddenArrow):
            service.reject(session, dataset, "late", "too late")


def _index(rig: Rig) -> Path:
    rig.dataset()
    with reading() as session:
        return Path(session.scalars(select(Dataset)).one().index_path or "")


def test_samples_are_found_in_the_order_asked(lone: Rig) -> None:
    asked = ["train-03", "nobody", "test-01", "' OR 1=1 --", "train-00"]
    assert index.positions_of(_index(lone), asked) == [
        Located(3, "train", 1),
        None,
        Located(21, "test", 1),
        None,
        Located(0, "train", 0),
    ]


def test_samples_are_found_by_label_and_subject(lone: Rig) -> None:
    row = _index(lone)
    assert index.positions_where(row) == list(range(20))
    assert index.positions_where(row, split="test") == list(range(20, 26))
    assert index.positions_where(row, label=1) == list(range(1, 20, 2))
    assert index.positions_where(row, subject_ids=["person-1", "person-9"]) == [4, 5, 6, 7]
    assert index.positions_where(row, label=0, subject_ids=["person-1"]) == [4, 6]
    assert index.without_samples(row, ["person-0", "person-9", "x"]) == [1, 2]
