"""The audit log refers to persons by an HMAC; when its key is destroyed, the chain holds and it means nothing."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from app.audit_log import references, service
from app.cli import app
from app.core.db import reading, transaction
from app.core.errors import NotFound
from app.core.settings import get_settings
from app.tables import AuditLogEntry, SubjectKey
from tests.app.web.rig import Rig, api, lone

__all__ = ["api", "lone"]


def submit(rig: Rig, *subject_ids: str, **changes: Any) -> str:
    target = {"kind": "subjects", "dataset": "faces", "subject_ids": subject_ids}
    answer = rig.post("/forget-requests", json={"model": "net", "target": target, **changes})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def received(request_id: str) -> dict[str, Any]:
    """What the log says of the request's acceptance."""
    query = select(AuditLogEntry).where(
        AuditLogEntry.resource == request_id, AuditLogEntry.action == "forget_request.received"
    )
    with reading() as session:
        return session.scalars(query).one().data


def found(*subject_ids: str) -> set[str]:
    with reading() as session:
        return {entry.resource for entry in references.find(session, subject_ids)}


def key_of(request_id: str) -> str | None:
    with reading() as session:
        return session.scalar(select(SubjectKey.key).where(SubjectKey.forget_request_id == request_id))


def tenants() -> Sequence[str]:
    with reading() as session:
        return session.scalars(select(AuditLogEntry.tenant_id).distinct()).all()


def test_an_entry_refers_to_persons_without_naming_them(api: Rig) -> None:
    api.deployed()
    request_id = submit(api, "person-1", "person-2")
    data, key = received(request_id), key_of(request_id)
    assert data["subject_count"] == 2
    assert key is not None
    assert data["subjects"] == sorted(references.reference(key, name) for name in ("person-1", "person-2"))
    assert found("person-1") == found("person-2", "nobody") == {request_id}
    assert found("person-3") == found() == set()
    with reading() as session:
        everything = [(entry.actor, entry.resource, entry.data) for entry in session.scalars(select(AuditLogEntry))]
    assert "person-" not in str(everything)
    assert key not in str(everything)


def test_after_the_shred_the_chain_holds_and_only_that_request_is_found_no_more(api: Rig) -> None:
    api.deployed()
    first, second = submit(api, "person-1"), submit(api, "person-2")
    before = received(first)
    assert key_of(first) is not None
    with transaction() as session:
        assert references.shred(session, first, actor="cli") == 1
    assert key_of(first) is None
    assert received(first) == before
    assert found("person-1") == set()
    assert found("person-2") == {second}
    with reading() as session:
        (told,) = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "forget_request.shredded"))
        assert (told.resource, told.actor, told.data) == (first, "cli", {"reason": None})
        assert [service.verify(session, tenant_id) for tenant_id in tenants()] == [None]
    with transaction() as session, pytest.raises(NotFound, match="shredded"):
        references.shred(session, first, actor="cli")


def test_two_requests_refer_to_one_person_differently(lone: Rig) -> None:
    lone.deployed()
    first = submit(lone, "person-1")
    assert lone.post(f"/forget-requests/{first}/cancel").status_code == 200
    second = submit(lone, "person-1")
    assert not set(received(first)["subjects"]) & set(received(second)["subjects"])
    assert found("person-1") == {first, second}


def test_a_filter_by_subject_names_persons_too_and_a_request_for_samples_does_not(lone: Rig) -> None:
    lone.deployed()
    target = {
        "kind": "leakage",
        "dataset": "faces",
        "filter": {"subject_ids": ["person-1"]},
        "mask": {"name": "mask", "rectangles": [{"top": 0, "left": 0, "height": 2, "width": 2}]},
    }
    answer = lone.post("/forget-requests", json={"model": "net", "target": target})
    assert answer.status_code == 202, answer.text
    assert found("person-1") == {answer.json()["id"]}
    target = {"kind": "samples", "dataset": "faces", "sample_ids": ["train-08"]}
    answer = lone.post("/forget-requests", json={"model": "net", "target": target})
    assert answer.status_code == 202, answer.text
    assert received(answer.json()["id"]) == {"reason": None}


def test_of_very_many_persons_only_the_number_is_written_down(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lone.deployed()
    monkeypatch.setattr(references, "MOST", 1)
    request_id = submit(lone, "person-1", "person-2")
    assert received(request_id) == {"reason": None, "subject_count": 2}
    assert key_of(request_id) is None


def test_a_request_for_every_model_is_shredded_with_its_children(lone: Rig) -> None:
    lone.deployed()
    parent = submit(lone, "person-1", model=None)
    assert found("person-1")
    assert parent not in found("person-1")
    with transaction() as session:
        references.shred(session, parent, actor="cli")
    assert found("person-1") == set()


def test_the_commands_find_and_shred(lone: Rig) -> None:
    lone.deployed()
    request_id, home = submit(lone, "person-1"), str(get_settings().home)

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["audit-log", *words, "--home", home], input="person-1\n\n")

    told = run("find", "--subject-file", "-")
    assert told.exit_code == 0, told.output
    assert all(request_id in line for line in told.stdout.splitlines())
    assert "forget_request.received" in told.stdout
    assert run("shred", "--request", request_id).exit_code == 0
    again = run("shred", "--request", request_id)
    assert (again.exit_code, "shredded" in again.stderr) == (1, True)
    told = run("find", "--subject-file", "-")
    assert (told.exit_code, told.stdout) == (1, "")
    assert run("verify").exit_code == 0
