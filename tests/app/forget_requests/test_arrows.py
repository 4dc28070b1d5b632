"""Whatever goes from one state to another is written down: one entry of the audit log for each arrow of each table."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_reports import stand_alone
from app.core.db import transaction
from app.core.ids import new_id
from app.datasets import service as datasets
from app.domain.lifecycle import (
    ARROWS,
    DatasetStatus,
    DeliveryStatus,
    JobKind,
    JobStatus,
    ReportStatus,
    RequestStatus,
    VersionStatus,
)
from app.forget_requests import service as forget_requests
from app.jobs import service as jobs
from app.models import service as models
from app.tables import AuditLogEntry, AuditReport, Dataset, ForgetRequest, ModelVersion
from tests.app.forget_requests.test_forget_requests import submit
from tests.app.web.rig import Rig


def subjects(rig: Rig, session: Session) -> dict[type[StrEnum], tuple[str, Any, Callable[..., None]]]:
    """Of every life cycle: how the log calls it, a row, and what moves it."""
    report = AuditReport(id=new_id("ar"), tenant_id=rig.tenant_id, status=ReportStatus.QUEUED, asked={})
    session.add(report)
    session.flush()
    job = jobs.enqueue(session, tenant_id=rig.tenant_id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1")
    return {
        RequestStatus: (
            "forget_request",
            session.scalars(select(ForgetRequest)).one(),
            forget_requests.transition,
        ),
        JobStatus: ("job", job, jobs.transition),
        DatasetStatus: ("dataset", session.scalars(select(Dataset)).one(), datasets.transition),
        VersionStatus: ("version", session.scalars(select(ModelVersion)).one(), models.transition),
        ReportStatus: ("audit_report", report, stand_alone.transition),
    }


def test_every_arrow_of_every_life_cycle_writes_one_entry(lone: Rig) -> None:
    lone.deployed()
    submit(lone)
    with transaction() as session:
        found = subjects(lone, session)
        assert set(found) == set(ARROWS) - {DeliveryStatus}  # a delivery tells of an entry, and makes none
        taken = 0
        for states, (name, row, transition) in found.items():
            written = select(AuditLogEntry.action, AuditLogEntry.actor, AuditLogEntry.data)
            written = written.where(AuditLogEntry.resource == row.id).order_by(AuditLogEntry.number)
            for source, targets in ARROWS[states].items():
                for target in targets:
                    row.status = source
                    session.flush()
                    before = len(session.execute(written).all())
                    transition(session, row, target, reason="because", actor="key_2")
                    (entry,) = session.execute(written).all()[before:]
                    assert (entry.action, entry.actor) == (f"{name}.{target.value}", "key_2")
                    assert entry.data["reason"] == "because"
                    assert row.status is target
                    taken += 1
        assert taken == sum(len(targets) for states in found for targets in ARROWS[states].values())
