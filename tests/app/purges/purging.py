"""A version that has been forgotten from, its files, and how somebody purges it."""

from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import JobStatus
from app.jobs import service as jobs
from app.models import service as models
from app.models.intake import folder_of
from app.tables import AuditLogEntry, Job, ModelVersion
from tests.app.forget_requests.deciding import carry_out
from tests.app.forget_requests.test_forget_requests import samples, submit
from tests.app.forget_requests.test_planning import deploy
from tests.app.web.rig import Rig, safetensors

REASON = {"reason": "Art. 17, DSAR-2026-118"}


def purge(rig: Rig, version: str, **headers: str) -> Any:
    """The answer to somebody who has looked."""
    path = f"/models/net/versions/{version}"
    return rig.post(f"{path}/purge", json=REASON, headers=headers or {"If-Match": rig.get(path).headers["etag"]})


def purged(rig: Rig, version: str) -> dict[str, Any]:
    """The version after a purge that is accepted."""
    answer = purge(rig, version)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def idle(*versions: str) -> None:
    """No job about them waits any more."""
    with transaction() as session:
        query = select(Job).where(Job.subject_id.in_(versions), Job.status == JobStatus.QUEUED).order_by(Job.id)
        for job in session.scalars(query).all():
            jobs.cancel(session, job)


def folder(rig: Rig, version: str) -> Path:
    """Where its files lie."""
    return folder_of(rig.get("/models/net").json()["id"], version)


def base_with_files(rig: Rig) -> str:
    """A deployed version with weights, initial weights, a Fisher diagonal, and what a killed attempt left."""
    version = rig.deployed()
    octets = {"Content-Type": "application/octet-stream"}
    initial = rig.put(
        f"/models/net/versions/{version}/initial-weights", content=safetensors(fill=b"\1"), headers=octets
    )
    assert initial.status_code == 200, initial.text
    fisher = folder(rig, version) / "fisher-job_1.safetensors"
    fisher.write_bytes(b"fisher")
    (folder(rig, version) / "fisher-job_0.safetensors").write_bytes(b"left")
    with transaction() as session:
        models.store_fisher(session, version, path=str(fisher), sha256="f" * 64, count=20)
    idle(version)
    return version


def forgotten(rig: Rig) -> tuple[str, str]:
    """Two versions: the one before, superseded, and what a request made of it, deployed."""
    base = base_with_files(rig)
    new = carry_out(rig, submit(rig, samples("train-01", "train-02")))["result_version_id"]
    deploy(rig, new)
    return base, new


def entries(resource: str) -> list[AuditLogEntry]:
    """What the audit log has about it, in order."""
    with reading() as session:
        query = select(AuditLogEntry).where(AuditLogEntry.resource == resource)
        return list(session.scalars(query.order_by(AuditLogEntry.number)))


def row(version: str) -> ModelVersion:
    """As the database has it."""
    with reading() as session:
        return session.get_one(ModelVersion, version)
