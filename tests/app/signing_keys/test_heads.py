"""A chain that was rewritten as a whole, consistently, still contradicts a head that was signed before."""

import logging

import pytest
from sqlalchemy import delete, select, update

from app.audit_log import service as audit_log
from app.audit_log.service import digest_of
from app.core.db import transaction
from app.scheduler import check_audit_logs
from app.signing_keys import heads
from app.tables import AuditLogEntry, AuditLogHead, Tenant


@pytest.fixture
def chain(database: object, tenant: Tenant) -> str:  # noqa: ARG001 - the database is where it goes
    with transaction() as session:
        for number in range(5):
            audit_log.record(
                session, tenant_id=tenant.id, actor="key_1", action="job.queued", resource=f"job_{number}", data={}
            )
        heads.settle(session, heads.look_at_all(session))
    return tenant.id


def rewrite(tenant_id: str) -> None:
    """What somebody with the database, and without the key, can do: another story, with all digests right."""
    with transaction() as session:
        previous = "0" * 64
        for entry in session.scalars(select(AuditLogEntry).order_by(AuditLogEntry.number)):
            entry.actor, entry.previous = "somebody_else", previous
            entry.digest = previous = digest_of(entry)
        session.get_one(Tenant, tenant_id).audit_log_head = previous


def test_a_chain_holds_and_its_head_is_signed_once(chain: str) -> None:
    with transaction() as session:
        assert heads.verify(session, chain) is None
        before = len(session.scalars(select(AuditLogHead)).all())
        heads.settle(session, heads.look_at_all(session))
        assert len(session.scalars(select(AuditLogHead)).all()) == before == 1


def test_a_rewritten_chain_is_noticed_by_its_heads_alone(chain: str) -> None:
    rewrite(chain)
    with transaction() as session:
        assert audit_log.verify(session, chain) is None
        assert heads.verify(session, chain) is not None


def test_a_head_that_was_changed_along_is_noticed_by_its_signature(chain: str) -> None:
    rewrite(chain)
    with transaction() as session:
        head = session.scalars(select(AuditLogHead)).one()
        head.digest = session.scalars(select(AuditLogEntry.digest).where(AuditLogEntry.number == head.number)).one()
    with transaction() as session:
        assert heads.verify(session, chain) is not None


def test_a_cut_end_is_noticed(chain: str) -> None:
    with transaction() as session:
        head = session.scalars(select(AuditLogHead)).one()
        session.execute(delete(AuditLogEntry).where(AuditLogEntry.number == head.number))
    with transaction() as session:
        assert heads.verify(session, chain) is not None


def test_the_scheduler_raises_one_alarm_about_a_broken_chain(chain: str, caplog: pytest.LogCaptureFixture) -> None:
    with transaction() as session:
        session.execute(update(AuditLogEntry).where(AuditLogEntry.number == 3).values(actor="somebody_else"))
    for _ in range(2):
        check_audit_logs()
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL] * 2
    with transaction() as session:
        alarms = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "audit_log.broken")).all()
        assert [(alarm.tenant_id, alarm.data) for alarm in alarms] == [(chain, {"number": 3})]
        assert len(session.scalars(select(AuditLogHead)).all()) == 1  # nothing broken is signed
