"""Locks: nobody keeps the others waiting for ever."""

import time

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core import db
from app.tables import Tenant

pytestmark = [pytest.mark.services, pytest.mark.usefixtures("postgresql_home", "tenant")]


def lock(session: Session) -> None:
    session.execute(select(Tenant.id).with_for_update()).one()


def test_who_stands_still_in_a_transaction_loses_it_and_its_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOCK_SECONDS", 1)
    db.engine().dispose()
    db.engine_for.cache_clear()
    with Session(db.engine()) as frozen, db.transaction() as other:
        lock(frozen)
        other.execute(text("SET lock_timeout = '30s'"))
        lock(other)  # as soon as the server has ended the session of the frozen one
        with pytest.raises(OperationalError):
            frozen.commit()


def test_a_session_that_the_server_ended_is_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LOCK_SECONDS", 1)
    db.engine().dispose()
    db.engine_for.cache_clear()
    with Session(db.engine()) as frozen:
        lock(frozen)
        time.sleep(2)
        with pytest.raises(OperationalError):  # what whoever does without the database for a while waits for
            lock(frozen)
