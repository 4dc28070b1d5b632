from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app.audit_log.service import record, verify
from app.core.db import transaction
from app.tables import AuditLogEntry, Tenant
from tests.conftest import Home


@pytest.fixture
def chain(database: Home, tenant: Tenant) -> str:  # noqa: ARG001 - the database is where it goes
    with transaction() as session:
        for number in range(5):
            data: dict[str, Any] = {"attempt": number, "reason": None, "ü": 0.1}
            record(
                session, tenant_id=tenant.id, actor="key_1", action="job.queued", resource=f"job_{number}", data=data
            )
    return tenant.id


def test_an_untouched_chain_holds(chain: str) -> None:
    with transaction() as session:
        assert verify(session, chain) is None
        numbers = session.scalars(select(AuditLogEntry.number).order_by(AuditLogEntry.number)).all()
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    [{"actor": "key_2"}, {"data": {"attempt": 9}}, {"resource": "job_9"}, {"action": "x"}, {"previous": "0" * 64}],
)
def test_a_changed_entry_breaks_the_chain(chain: str, change: dict[str, Any]) -> None:
    with transaction() as session:
        session.execute(update(AuditLogEntry).where(AuditLogEntry.number == 3).values(**change))
    with transaction() as session:
        assert verify(session, chain) == 3


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_missing_entry_breaks_the_chain_where_it_was(chain: str, number: int) -> None:
    with transaction() as session:
        session.execute(delete(AuditLogEntry).where(AuditLogEntry.number == number))
    with transaction() as session:
        assert verify(session, chain) == number
