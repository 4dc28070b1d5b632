"""A fresh, migrated database for every test that asks for one: SQLite, and a real PostgreSQL."""

import base64
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

from app.core import schema
from app.core.db import engine_for, transaction
from app.core.settings import get_settings
from app.tables import Tenant
from tests import services

if "PYTEST_XDIST_WORKER" in os.environ:  # several at once: a thread of torch for each, and for each of its children
    os.environ.setdefault("OMP_NUM_THREADS", "1")

_numbers = itertools.count()


@dataclass(frozen=True)
class Home:
    """Where a test's service lives; its settings stand in the environment, so child processes find them too."""

    path: Path
    data: Path
    """The one folder below which data sets and weights may lie."""
    url: str
    dialect: str


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A private PostgreSQL server; the URL of its database for administration."""
    with services.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a private Redis server."""
    with services.redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql: URL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database to copy; migrating anew for every test would take most of the time."""
    _execute(postgresql, "CREATE DATABASE migrated")
    _migrate(tmp_path_factory.mktemp("template"), _url(postgresql, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    folder = tmp_path_factory.mktemp("template")
    _migrate(folder, f"sqlite:///{folder / 'unlearn.db'}")
    return folder / "unlearn.db"


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Iterator[Home]:
    """A migrated SQLite database in a home of its own."""
    with sqlite_home(tmp_path, sqlite_template) as place:
        yield place


@contextmanager
def sqlite_home(folder: Path, template: Path) -> Iterator[Home]:
    """The same for a fixture of a larger scope."""
    path = folder / "home"
    path.mkdir()
    shutil.copy(template, path / "unlearn.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _settle(monkeypatch, path, f"sqlite:///{path / 'unlearn.db'}", "sqlite")
        _leave()


@pytest.fixture
def postgresql_home(
    tmp_path: Path, postgresql: URL, postgresql_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    """A migrated PostgreSQL database, and a home of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    name = f"test_{next(_numbers)}"
    _execute(postgresql, f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    yield _settle(monkeypatch, folder, _url(postgresql, name), "postgresql")
    _leave()
    _execute(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database(request: pytest.FixtureRequest) -> Home:
    """Both databases, one after the other."""
    place: Home = request.getfixturevalue("home" if request.param == "sqlite" else "postgresql_home")
    return place


@pytest.fixture
def tenant(request: pytest.FixtureRequest) -> Tenant:
    """The tenant `tn_test`, in whichever database the test uses (SQLite if it names none)."""
    named = [name for name in ("database", "postgresql_home") if name in request.fixturenames]
    request.getfixturevalue(named[0] if named else "home")
    return add_tenant()


def add_tenant() -> Tenant:
    """The row of the tenant `tn_test`, committed."""
    with transaction() as session:
        row = Tenant(id="tn_test", name="test")
        session.add(row)
    return row


def _settle(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str, dialect: str) -> Home:
    data = folder.parent / "data"
    data.mkdir()
    for name in [name for name in os.environ if name.startswith("UNLEARN_") and name != services.REQUIRED]:
        monkeypatch.delenv(name)
    for name, value in _environment(folder, url, data).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return Home(path=folder, data=data, url=url, dialect=dialect)


def _environment(folder: Path, url: str, data: Path) -> dict[str, str]:
    return {
        "UNLEARN_HOME": str(folder),
        "UNLEARN_SECRET_KEY": secrets.token_urlsafe(32),
        "UNLEARN_SIGNING_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "UNLEARN_DATABASE_URL": url,
        "UNLEARN_DATA_PREFIXES": json.dumps([str(data)]),
    }


def _leave() -> None:
    # By the URL in force: a test may have set another one.
    engine_for(get_settings().database).dispose()
    engine_for.cache_clear()
    get_settings.cache_clear()


def _migrate(folder: Path, url: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in _environment(folder, url, folder).items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        schema.upgrade()
        _leave()


def _url(server: URL, database: str) -> str:
    return server.set(database=database).render_as_string(hide_password=False)


def _execute(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
