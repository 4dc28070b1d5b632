"""Requests that people decide about: several keys, policies, and jobs that end without a worker."""

from typing import Any

from app.core.db import transaction
from app.core.ids import new_id
from app.domain.lifecycle import JobStatus
from app.forget_requests import service
from app.jobs import service as jobs
from app.models import service as models
from app.tables import AuditReport, Job, ModelVersion
from tests.app.web.rig import Rig

REASON = {"reason": "as the board decided"}


def govern(rig: Rig, **policy: Any) -> None:
    """The policy of the model from now on."""
    seen = {"If-Match": rig.get("/models/net/policy").headers["etag"]}
    answer = rig.put("/models/net/policy", json=policy, headers=seen)
    assert answer.status_code == 200, answer.text


def seen(rig: Rig, request: dict[str, Any]) -> dict[str, str]:
    """What a decision must send."""
    return {"If-Match": rig.get(f"/forget-requests/{request['id']}").headers["etag"]}


def decide(rig: Rig, request: dict[str, Any], what: str, wish: dict[str, Any] | None = None) -> Any:
    """The answer to a decision of somebody who has looked."""
    return rig.post(f"/forget-requests/{request['id']}/{what}", json=wish, headers=seen(rig, request))


def decided(rig: Rig, request: dict[str, Any], what: str, wish: dict[str, Any] | None = None) -> dict[str, Any]:
    """The request after a decision that is accepted."""
    answer = decide(rig, request, what, wish)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["etag"] == rig.get(f"/forget-requests/{request['id']}").headers["etag"]
    return found


def deployed(rig: Rig) -> str:
    """Where the alias points."""
    version: str = rig.get("/models/net/aliases/deployed").json()["version_id"]
    return version


def carry_out(rig: Rig, request: dict[str, Any], verdict: str = "pass") -> dict[str, Any]:
    """As the worker does: a new version; of each request that shares the job its report, its end or its wait."""
    with transaction() as session:
        job = session.get_one(Job, rig.get(f"/forget-requests/{request['id']}").json()["job_id"])
        jobs.transition(session, job, JobStatus.RUNNING)
        service.follow(session, job)
        rows = service.batch(session, job.id)
        version = models.publish_version(
            session,
            held=service.gate(session, rows[0]),
            parent=session.get_one(ModelVersion, rows[0].base_version_id),
            version_id=new_id("mv"),
            job_id=job.id,
            weights_path="/nowhere",
            weights_sha256="1" * 64,
            weights_bytes=1,
            silenced_classes=[],
        )
        reports = [
            AuditReport(
                id=new_id("ar"),
                tenant_id=row.tenant_id,
                forget_request_id=row.id,
                job_id=job.id,
                verdict=verdict,
                body={},
                envelope={},
            )
            for row in rows
        ]
        session.add_all(reports)
        session.flush()
        service.complete(session, rows, version_id=version.id, reports=[report.id for report in reports])
        jobs.succeed(session, job)
    found: dict[str, Any] = rig.get(f"/forget-requests/{request['id']}").json()
    return found
