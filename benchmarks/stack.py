"""The whole service as its users run it, each process of it by itself: to be measured, killed and started again.

`local`: `unlearn serve`, which starts the dispatcher, and SQLite. `celery`: `unlearn serve`, two Celery workers,
PostgreSQL and Redis.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import create_engine, text

from app.cli import app as cli
from app.core.db import engine_for
from app.core.settings import SETTINGS_FILE, get_settings
from benchmarks.servers import PostgreSQL, Redis, free_port
from worker.fork_server import NAME

PATIENCE_SECONDS = 180.0
END_SECONDS = 60.0
UNLEARN = (sys.executable, "-m", "app.cli")
CELERY = (sys.executable, "-m", "celery", "-A", "worker.main", "worker", "--pool", "threads", "-l", "warning")

Settings = Mapping[str, object]
"""`UNLEARN_*` without the prefix, in small letters."""


class Process:
    """One process of the service; what it says goes to a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the newest one started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and do not wait for it to be ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self._command), env=dict(self._environment), stdout=log, stderr=log, start_new_session=True
            )

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self, seconds: float = END_SECONDS) -> int:
        """Its exit status.

        Raises:
            TimeoutExpired: it has not ended by then.
        """
        return 0 if self._process is None else self._process.wait(seconds)


@dataclass
class Stack:
    """A running service. `processes` are those that are started here, by name; others are their children."""

    executor: str
    home: Path
    url: str
    key: str
    environment: Mapping[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    postgresql: PostgreSQL | None = None
    redis: Redis | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Who calls."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def workers(self) -> list[Process]:
        """Those that execute jobs, where they are started here: with the local executor the API starts its own."""
        return [process for name, process in self.processes.items() if name.startswith("worker")]

    def supervisors(self) -> list[int]:
        """The process ids of all that execute jobs, whoever started them."""
        return [pid for pid, command in self.running().items() if "worker.local" in command or "worker.main" in command]

    def schedulers(self) -> list[int]:
        """Those that take back, announce and sweep, where that is a process of its own."""
        return [pid for pid, command in self.running().items() if "app.cli scheduler" in command]

    def children(self, supervisor: int) -> list[int]:
        """The child processes of a supervisor that do a job, oldest first."""
        jobs = [pid for pid in self._forked() if _name_of(pid) == NAME]
        return sorted((pid for pid in jobs if _parent_of(pid) == supervisor), key=_started)

    def fork_servers(self) -> list[int]:
        """Those that the children are forked from."""
        return [pid for pid in self._forked() if _name_of(pid) != NAME]

    def _forked(self) -> list[int]:
        return [pid for pid, command in self.running().items() if "worker.fork_server" in command]

    def running(self) -> dict[int, str]:
        """Every process that works for this home, with its command line: children and orphans too."""
        mine = f"UNLEARN_HOME={self.home}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if mine in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def start(self) -> None:
        """Start whatever does not run."""
        for process in self.processes.values():
            if not process.alive:
                process.start()

    def signal_all(self, number: int) -> None:
        """To every process, children and orphans too."""
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_until_ready(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Until the API answers that it is ready."""
        end = time.monotonic() + seconds
        with httpx.Client(base_url=self.url, timeout=10) as http:
            while time.monotonic() < end:
                with contextlib.suppress(httpx.TransportError):
                    if http.get("/readyz").is_success:
                        return
                time.sleep(0.1)
        raise RuntimeError(f"the service did not come up; its words are in {self.processes['api'].log}")

    def stop(self) -> None:
        """End everything as an operator would; what does not end by itself is a fault of the service, and killed."""
        for process in self.processes.values():
            process.signal(signal.SIGINT if process.name == "api" else signal.SIGTERM)
        end = time.monotonic() + END_SECONDS
        while self.running() and time.monotonic() < end:
            for process in self.processes.values():
                process.alive  # noqa: B018 - collects its exit status, or it would be seen running for ever
            time.sleep(0.1)
        left = self.running()
        self.signal_all(signal.SIGKILL)
        if left:
            raise RuntimeError(f"did not end: {left}")


@contextlib.contextmanager
def local(home: Path, *, prefix: Path, settings: Settings | None = None) -> Iterator[Stack]:
    """The embedded service on a free port."""
    yield from _run(Stack("local", home, "", "", {}), prefix, settings or {}, {})


@contextlib.contextmanager
def celery(home: Path, *, prefix: Path, settings: Settings | None = None, workers: int = 2) -> Iterator[Stack]:
    """The service on PostgreSQL and Redis, both private, with so many Celery workers."""
    servers = home.parent / "servers"
    for name in ("postgresql", "redis"):
        (servers / name).mkdir(parents=True)
    for folder in (home.parent, servers):
        folder.chmod(0o755)  # PostgreSQL may not run as root, and must get to its folder
    with PostgreSQL(servers / "postgresql", durable=True) as postgresql, Redis(servers / "redis") as redis:
        engine = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE unlearn"))
        engine.dispose()
        more = {
            "executor": "celery",
            "database_url": postgresql.url.set(database="unlearn").render_as_string(hide_password=False),
            "redis_url": redis.url,
            **(settings or {}),
        }
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        commands = {name: [*CELERY, "-n", f"{name}@%h"] for name in names}
        if _has_command("scheduler"):
            commands["scheduler"] = [*UNLEARN, "scheduler"]
        yield from _run(Stack("celery", home, "", "", {}, {}, postgresql, redis), prefix, more, commands)


def _has_command(name: str) -> bool:
    """Whether `unlearn` has it: without a scheduler, every worker does its work."""
    return any(
        name == (command.name or getattr(command.callback, "__name__", "")) for command in cli.registered_commands
    )


def end_with_what_was_started() -> None:
    """Let SIGTERM end a benchmark as Ctrl-C does: with all servers and processes, and without its small disk."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _run(stack: Stack, prefix: Path, settings: Settings, commands: Mapping[str, Sequence[str]]) -> Iterator[Stack]:
    named = {f"UNLEARN_{name.upper()}": str(value) for name, value in settings.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UNLEARN_")}
    stack.environment = {**inherited, **named, "UNLEARN_HOME": str(stack.home)}
    init = [*UNLEARN, "init", "--data-prefix", str(prefix)]
    done = subprocess.run(init, env=dict(stack.environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"unlearn init failed: {done.stderr}")
    stack.key = done.stdout.strip()
    port = free_port()
    stack.url = f"http://127.0.0.1:{port}"
    logs = stack.home.parent / "logs"
    logs.mkdir()
    commands = {"api": [*UNLEARN, "serve", "--port", str(port)], **commands}
    for name, command in commands.items():
        stack.processes[name] = Process(name, command, stack.environment, logs / f"{name}.log")
    with _settings_of(stack):
        stack.start()
        try:
            stack.wait_until_ready()
            yield stack
        finally:
            stack.stop()


@contextlib.contextmanager
def _settings_of(stack: Stack) -> Iterator[None]:
    """Let this process read the stack's database by the service's own functions."""
    before = dict(os.environ)
    os.environ.update(stack.environment)
    get_settings.cache_clear()
    if not (stack.home / SETTINGS_FILE).exists():
        raise RuntimeError(f"{stack.home} has no settings")
    try:
        yield
    finally:
        engine_for(get_settings().database).dispose()
        engine_for.cache_clear()
        os.environ.clear()
        os.environ.update(before)
        get_settings.cache_clear()


def _parent_of(pid: int) -> int:
    return int(_stat(pid)[1]) if _stat(pid) else 0


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> int:
    return int(_stat(pid)[19]) if _stat(pid) else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command's name; none if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
