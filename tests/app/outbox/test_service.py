import os
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import JobKind
from app.jobs import service as jobs
from app.outbox.doorbells import CeleryDoorbell, DoorbellFailed, NoDoorbell, PipeDoorbell
from app.outbox.service import publish, relay
from app.tables import Job, OutboxMessage, Tenant
from benchmarks.servers import free_port


class Broken:
    def ring(self, job_ids: Sequence[str]) -> None:  # noqa: ARG002
        raise DoorbellFailed("nobody there")


def enqueue(tenant: Tenant) -> Job:
    with transaction() as session:
        return jobs.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1")


def unsent() -> int:
    with reading() as session:
        return len(session.scalars(select(OutboxMessage).where(OutboxMessage.sent_at.is_(None))).all())


@pytest.mark.usefixtures("database")
def test_a_failing_doorbell_loses_nothing(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    enqueue(tenant)
    enqueue(tenant)
    assert relay(Broken()) == 0
    assert unsent() == 2
    assert "2 messages stay in the outbox" in caplog.text
    assert relay(NoDoorbell()) == 2
    assert relay(NoDoorbell()) == 0


def test_what_was_rolled_back_is_never_announced(tenant: Tenant) -> None:
    with transaction() as session:
        jobs.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1")
        session.rollback()
    assert unsent() == 0


def test_a_job_has_one_message_however_often_it_is_announced(tenant: Tenant) -> None:
    job = enqueue(tenant)
    for _ in range(2):
        relay(NoDoorbell())
        with transaction() as session:
            publish(session, session.get_one(Job, job.id))
    assert unsent() == 1
    with reading() as session:
        assert len(session.scalars(select(OutboxMessage)).all()) == 1


def test_the_pipe_rings_and_never_blocks() -> None:
    reader, writer = os.pipe()
    bell = PipeDoorbell(writer)
    bell.ring(["job_1"])
    assert os.read(reader, 10) == b"\n"
    for _ in range(70_000):  # more than a pipe holds
        bell.ring(["job_1"])
    os.close(reader)
    with pytest.raises(DoorbellFailed):
        bell.ring(["job_1"])
    os.close(writer)


def test_a_broker_that_is_away_is_a_failed_bell() -> None:
    bell = CeleryDoorbell(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(DoorbellFailed):
        bell.ring(["job_1"])
    bell.close()
