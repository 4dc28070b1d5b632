"""Of several processes one has the lease."""

from datetime import datetime, timedelta

import pytest

from app import leases
from app.core import processes
from app.core.db import now, transaction
from app.tables import Lease

pytestmark = pytest.mark.usefixtures("database")


def hold(owner: str) -> bool:
    with transaction() as session:
        return leases.hold(session, "scheduler", owner=owner, seconds=6)


def found() -> tuple[str, int]:
    with transaction() as session:
        lease = session.get_one(Lease, "scheduler")
        return lease.owner, lease.fence


def test_one_has_it_and_renews_it() -> None:
    assert hold("a")
    assert not hold("b")
    assert hold("a")
    assert found() == ("a", 1)


def test_another_has_it_when_the_first_is_not_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hold("a")

    def later(session: object) -> datetime:
        return now(session) + timedelta(seconds=7)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "now", later)
    assert hold("b")
    assert not hold("a")
    assert found() == ("b", 2)


def test_another_has_it_at_once_when_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hold("a")
    monkeypatch.setattr(processes, "is_dead", lambda owner: owner == "a")
    assert hold("b")


def test_who_is_done_leaves_it_to_the_next() -> None:
    assert hold("a")
    with transaction() as session:
        leases.release(session, "scheduler", owner="b")
    assert not hold("b")
    with transaction() as session:
        leases.release(session, "scheduler", owner="a")
    assert hold("b")
