"""The database: engines, and the one place where a transaction commits."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Engine,
    Select,
    Text,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.settings import get_settings

READ_ONLY = "unlearn_read_only"
IDLE_IN_TRANSACTION = "25P03"
LOCK_SECONDS = 30
"""How long a process that stands still in the middle of a transaction may keep the others from going on."""


@cache
def engine_for(url: str) -> Engine:
    """One engine a process and URL; SQLite in WAL mode, writers queue for at most 30 s."""
    if not url.startswith("sqlite"):
        # The server ends the session of a frozen worker that holds the lock of a job, or of the audit log.
        arguments = {"options": f"-c idle_in_transaction_session_timeout={LOCK_SECONDS}s"}
        engine = create_engine(
            url, hide_parameters=True, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=arguments
        )
        event.listen(engine, "handle_error", _say_that_it_is_away)
        return engine
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _say_that_it_is_away(context: ExceptionContext) -> None:
    """A session that the server ended is a lost connection: psycopg calls it an internal error."""
    if getattr(context.original_exception, "sqlstate", None) == IDLE_IN_TRANSACTION:
        context.is_disconnect = True
        raise OperationalError(context.statement, None, context.original_exception, hide_parameters=True)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, below
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes its lock at once: upgrading a read lock later fails instead of waiting.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def engine() -> Engine:
    """The engine of the configured database."""
    return engine_for(get_settings().database)


@contextmanager
def transaction() -> Iterator[Session]:
    """All or nothing: commits at the end of the block, rolls back on any exception."""
    with Session(engine(), expire_on_commit=False) as session:
        yield session
        session.commit()


@contextmanager
def reading() -> Iterator[Session]:
    """A session for looking only: on SQLite it never waits for a writer, nor makes one wait."""
    with engine().connect().execution_options(**{READ_ONLY: True}) as connection, Session(connection) as session:
        yield session


def listed(session: Session, numbers: Sequence[int]) -> Select[tuple[int]]:
    """These integers as rows of one column, `value`: one parameter and one statement, however many there are."""
    document = json.dumps(list(numbers))
    if session.get_bind().dialect.name == "sqlite":
        rows = func.json_each(document).table_valued("value")
        return select(rows.c.value)
    rows = func.json_array_elements_text(cast(literal(document, Text), JSON)).table_valued("value")
    return select(cast(rows.c.value, BigInteger).label("value"))


def now(session: Session) -> datetime:
    """The database's clock, so that machines with different clocks agree about leases."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)  # one machine, one clock
    return session.execute(select(func.clock_timestamp(type_=DateTime(timezone=True)))).scalar_one()
