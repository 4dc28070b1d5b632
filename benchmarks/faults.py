"""Does anything get lost? Faults at random moments on the whole service, while callers have requests in flight.

Every distinct request runs once undisturbed, for its digest. Then three callers submit requests one after the other,
each with an Idempotency-Key that they send until they are answered, and faults strike: processes are killed, frozen and
stopped, PostgreSQL and Redis die, the disk is full. When all faults are through, whatever was accepted must end
completed, with one result and one report, and the weights of the undisturbed run, bit for bit.

    python -m benchmarks.faults --executor local --faults 200
    python -m benchmarks.faults --executor celery --faults 200
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from app.core.db import reading
from app.core.digests import sha256_of
from app.core.processes import pid_of
from app.domain.lifecycle import JobKind, JobStatus, is_final
from app.signing_keys import heads
from app.tables import AuditReport, ForgetRequest, Job, JobEvent, ModelVersion, Tenant
from benchmarks import material
from benchmarks.accounts import Account, Found, running_again, settle, spread
from benchmarks.environment import environment
from benchmarks.material import Subject
from benchmarks.patience import patiently, until
from benchmarks.stack import Stack, celery, end_with_what_was_started, local

RESULT = Path(__file__).parent / "results" / "faults.json"
CALLERS = 3
SETTINGS = {"lease_seconds": 5, "max_attempts": 1000, "concurrency": 2}
"""A short lease, so that a run is short. So many attempts that no job is given up for being killed often: with the
default of three, one that is killed three times is lost, as it should be. A Celery worker takes one job at a time."""
DISK_BYTES = 512 * 2**20
MENDED_SECONDS = 240.0
"""How long a fault that is to be seen through may take until its jobs run again; seconds, on a machine that is idle."""
LOCK_SECONDS = 10.0
"""No transaction of ours is that long: who holds SQLite's write lock for so long stands still."""
DRAIN_SECONDS = 1800.0
"""How long whatever is left may take when the faults are over, before it counts as stuck."""
ONE_METRIC = {"metrics": [{"name": "accuracy"}]}
WISHES: tuple[dict[str, Any], ...] = (
    {
        "target": {"kind": "samples", "sample_ids": material.sample_ids(range(20))},
        "method": {"name": "deepclean", "epochs": 20},
        "audit": {**ONE_METRIC, "gold": "retrain"},
    },
    {
        "target": {"kind": "class", "label": 0},
        "method": {"name": "rld", "epochs": 60, "learning_rate": 1e-3},
        "audit": ONE_METRIC,
    },
    {
        "target": {"kind": "samples", "sample_ids": material.sample_ids(range(60))},
        "method": {"name": "auto"},
        "audit": {"metrics": [{"name": "accuracy"}, {"name": "mia"}], "gold": "retrain"},
    },
    {
        "target": {"kind": "samples", "sample_ids": material.sample_ids(range(30, 70))},
        "method": {"name": "retrain"},
        "audit": ONE_METRIC,
    },
)


def main() -> None:
    """Run one executor or both, add the figures to the result, fail if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executor", choices=["local", "celery", "both"], default="both")
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="ten faults, and nothing is written down")
    parser.add_argument("--only", nargs="*", default=[], help="only faults of these kinds, and nothing is written down")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder for the home and the logs, which are kept")
    asked = parser.parse_args()
    end_with_what_was_started()
    clean = True
    for executor in ("local", "celery") if asked.executor == "both" else (asked.executor,):
        figures = run(executor, 10 if asked.quick else asked.faults, asked.seed, asked.keep, frozenset(asked.only))
        print(json.dumps(figures, indent=2))
        clean = clean and not any(figures[name] for name in ("lost", "twice", "stuck", "different_result"))
        clean = clean and figures["chain_intact"] and not figures["surprises"]
        if not asked.quick and not asked.only:
            _write_down(executor, figures)
    raise SystemExit(0 if clean else 1)


def run(executor: str, faults: int, seed: int, keep: Path | None, only: frozenset[str]) -> dict[str, Any]:
    """One run on one executor; its figures."""
    started = time.monotonic()
    with contextlib.ExitStack() as exits:
        folder = keep or Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="unlearn-faults-")))
        folder = folder / executor
        (folder / "home").mkdir(parents=True)
        disk = exits.enter_context(_small_disk(folder / "home"))
        manifest = material.write_manifest(folder / "data" / "tiny.parquet")
        opened = local if executor == "local" else celery
        settings = SETTINGS if executor == "local" else {**SETTINGS, "concurrency": 1}
        stack = exits.enter_context(opened(folder / "home", prefix=folder / "data", settings=settings))
        with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as http:
            subject = material.register(http, manifest, material.weights())
        callers = Callers(stack, subject)
        undisturbed = callers.undisturbed()
        storm = Storm(stack, callers, random.Random(seed), disk=disk)  # noqa: S311 - repeatable, not secret
        storm_started = time.monotonic()
        with callers.calling():
            storm.rage(faults, only)
        storm_seconds = time.monotonic() - storm_started
        callers.wait(DRAIN_SECONDS)
        jobs_left = _wait_for_jobs(DRAIN_SECONDS)
        account = settle({reference: undisturbed[number] for reference, number in callers.asked.items()}, _found())
        return {
            "faults": sum(storm.struck.values()),
            "requests": account.asked,
            "lost": len(account.lost),
            "twice": len(account.twice),
            "stuck": len(account.stuck) + jobs_left,
            "different_result": len(account.different),
            "wrong": _named(account),
            "surprises": callers.surprises,
            "chain_intact": _chains_hold(),
            "recovery_seconds": spread(storm.recoveries(storm.alone)),
            "recovery_seconds_among_other_faults": {
                kind: spread(storm.recoveries(victims)) for kind, victims in sorted(storm.victims.items())
            },
            "by_kind": dict(sorted(storm.struck.items())),
            "answers_lost_and_asked_again": callers.replayed,
            "frozen_workers": dict(storm.woken),
            "attempts": _attempts(),
            "storm_seconds": round(storm_seconds),
            "seconds": round(time.monotonic() - started),
            "settings": {**settings, "callers": CALLERS, "seed": seed, "workers": len(stack.workers) or 1},
            "environment": environment(),
        }


class Callers:
    """Users of the service: each has one request in flight, and is not put off by a service that is away."""

    def __init__(self, stack: Stack, subject: Subject) -> None:
        self.asked: dict[str, int] = {}
        """Which of the distinct requests it is, by the reference that it was given."""
        self.replayed = 0
        self.post_seconds = 0.1
        """How long the last answer to a submission took, a second at most."""
        self.surprises: list[str] = []
        """Answers that no fault excuses."""
        self._stack = stack
        self._subject = subject
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._leaving = threading.Event()
        self._over = threading.Event()

    def undisturbed(self) -> list[str]:
        """The digest of each distinct request's weights, when nothing goes wrong."""
        for number in range(len(WISHES)):
            self._ask(number)
        digests = {self.asked[found.external_id]: found.weights_sha256 for found in _found()}
        missing = [number for number in range(len(WISHES)) if digests.get(number) is None]
        if missing:
            raise RuntimeError(f"without any fault, requests {missing} came to nothing: {self.surprises}")
        return [str(digests[number]) for number in range(len(WISHES))]

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Keep requests in flight; at the end no more are begun."""
        for caller in range(CALLERS):
            self._start(self._call, caller)
        try:
            yield
        finally:
            self._leaving.set()

    def one_more(self) -> None:
        """Submit a request from a thread of its own; returns when it is on its way."""
        sent = threading.Event()
        self._start(lambda number: self._ask(number, sent), len(self.asked) % len(WISHES))
        sent.wait(MOMENT_SECONDS)

    def wait(self, seconds: float) -> None:
        """Until every request is over, or patience is."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._over.set()

    def _start(self, target: Callable[[int], object], number: int) -> None:
        thread = threading.Thread(target=target, args=(number,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _call(self, caller: int) -> None:
        number = caller
        while not self._leaving.is_set():
            self._ask(number % len(WISHES))
            number += CALLERS + 1  # all of them, in another order for each caller

    def _ask(self, number: int, sent: threading.Event | None = None) -> None:
        """Submit one request and follow it to its end."""
        subject = patiently(lambda: material.copies(self._subject, 1))[0]
        with self._lock:
            reference = f"request-{len(self.asked)}"
            self.asked[reference] = number
        wish = WISHES[number]
        target = {**wish["target"], "dataset": subject.dataset}
        body = {**wish, "target": target, "model": subject.model, "version": subject.version, "external_id": reference}
        with httpx.Client(base_url=self._stack.url, headers=self._stack.headers, timeout=60) as http:
            if sent is not None:
                sent.set()
            started = time.monotonic()
            accepted = self._insist(http, "POST", "/forget-requests", {"Idempotency-Key": reference}, body)
            self.post_seconds = min(time.monotonic() - started, 1.0)
            while accepted and not self._over.is_set():
                request = self._insist(http, "GET", f"/forget-requests/{accepted['id']}", {}, None)
                if request is None or request["final"]:
                    break
                time.sleep(0.2)

    def _insist(self, http: httpx.Client, method: str, path: str, headers: Mapping[str, str], body: object) -> Any:
        """Ask until there is an answer; an error of the service is none."""
        while not self._over.is_set():
            try:
                answer = http.request(method, path, headers=dict(headers), json=body)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.is_success:
                self.replayed += answer.headers.get("Idempotent-Replayed") == "true"
                return answer.json()
            retry = answer.status_code >= 500 or answer.json().get("retryable")
            if not retry:
                self.surprises.append(f"{method} {path}: {answer.status_code} {answer.text}")
                return None
            time.sleep(0.2)
        return None


@dataclass(frozen=True)
class Victim:
    """An attempt that ran when a fault struck its process."""

    job_id: str
    attempt: int
    at: float


@dataclass
class Storm:
    """Faults, drawn from a shuffled deck of all kinds that apply, so that each comes about as often as the others."""

    stack: Stack
    callers: Callers
    random: random.Random
    disk: Path | None = None
    struck: Counter[str] = field(default_factory=Counter)
    victims: dict[str, list[Victim]] = field(default_factory=dict)
    woken: Counter[str] = field(default_factory=Counter)
    alone: set[Victim] = field(default_factory=set)
    """Those that no further fault kept from recovering."""

    def rage(self, faults: int, only: frozenset[str] = frozenset()) -> None:
        """So many faults, each at a moment drawn anew."""
        kinds = [kind for kind, applies in KINDS.items() if applies(self) and kind in (only or KINDS)]
        deck: list[str] = []
        for number in range(faults):
            if not deck:
                deck = self.random.sample(kinds, len(kinds))
            kind = deck.pop()
            self._wait_for(self.random.choice(MOMENTS))
            print(f"{number + 1:4d} {kind}", flush=True)
            getattr(self, f"_{kind}")()
            self.struck[kind] += 1
            self.stack.start()  # whatever ended is started again, as by an init system
        self._mend()

    def _wait_for(self, moment: Callable[[datetime], bool]) -> None:
        since = datetime.now(UTC)
        until(lambda: patiently(lambda: moment(since)), MOMENT_SECONDS)
        time.sleep(self.random.uniform(0, 2))

    def recoveries(self, victims: Collection[Victim]) -> list[float]:
        """Seconds from a fault until the job that it interrupted ran again, where it did not end all the same."""
        found = []
        for victim in victims:
            with reading() as session:
                at = running_again(session.get_one(Job, victim.job_id).transitions, victim.attempt)
            if at is not None:
                found.append(datetime.fromisoformat(at).timestamp() - victim.at)
        return found

    def _kill_child(self) -> None:
        supervisor = self._one_that_works()
        children = self.stack.children(supervisor)
        self._struck("kill_child", supervisor)
        for pid in children[:1]:
            _send(pid, signal.SIGKILL)

    def _kill_fork_server(self) -> None:
        for pid in self.stack.fork_servers():
            _send(pid, signal.SIGKILL)

    def _kill_worker(self) -> None:
        supervisor = self._one_that_works()
        held = self._struck("kill_worker", supervisor)
        _send(supervisor, signal.SIGKILL)
        time.sleep(self.random.uniform(0, 1))
        self.stack.start()
        if self.random.random() < 0.5:  # no other fault until it has recovered, so that the time is its own
            until(lambda: all(map(_taken_away, held)), MENDED_SECONDS)
            self.alone |= {victim for victim in held if _taken_away(victim)}

    def _kill_api(self) -> None:
        # With a request on its way: whether it was accepted, only a second try will tell.
        self.callers.one_more()
        time.sleep(self.random.uniform(0, 1.5 * self.callers.post_seconds))
        self.stack.processes["api"].signal(signal.SIGKILL)
        self.stack.processes["api"].wait()

    def _kill_scheduler(self) -> None:
        for pid in self.stack.schedulers():
            _send(pid, signal.SIGKILL)
        time.sleep(self.random.uniform(0, 3))

    def _terminate_everything(self) -> None:
        self.stack.signal_all(signal.SIGTERM)
        for process in self.stack.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait()
                continue
            self.callers.surprises.append(f"{process.name} did not end after SIGTERM")
            process.signal(signal.SIGKILL)

    def _kill_redis(self) -> None:
        redis = self.stack.redis
        if redis is not None:
            redis.kill()
            time.sleep(self.random.uniform(0, 3))
            redis.start()

    def _empty_redis(self) -> None:
        if self.stack.redis is not None:
            self.stack.redis.flush()

    def _restart_postgresql(self) -> None:
        postgresql = self.stack.postgresql
        if postgresql is not None:
            postgresql.stop()
            time.sleep(self.random.uniform(0, 2))
            postgresql.start()

    def _kill_postgresql(self) -> None:
        postgresql = self.stack.postgresql
        if postgresql is not None:
            postgresql.kill()
            time.sleep(self.random.uniform(0, 2))
            postgresql.start()

    def _fill_disk(self) -> None:
        if self.disk is not None:
            _fill(self.disk)
            time.sleep(self.random.uniform(0.5, 3))
            _ballast(self.disk).unlink()

    def _freeze_worker(self) -> None:
        """A worker that stands still until another has its job, then wakes up: the child first, which would publish."""
        supervisor = self._one_that_works()
        children = self.stack.children(supervisor)
        held = self._struck("freeze_worker", supervisor)
        for pid in (supervisor, *children):
            _send(pid, signal.SIGSTOP)
        if not self.stack.workers:  # the only dispatcher: let there be another, while this one sleeps
            self.stack.processes["api"].signal(signal.SIGKILL)
            self.stack.processes["api"].wait()
            self.stack.start()
        given_away = not self._write_lock_is_held() and until(lambda: all(map(_taken_away, held)), MENDED_SECONDS)
        for pid in children:
            _send(pid, signal.SIGCONT)
        ended = until(lambda: bool(set(children) - self.stack.running().keys()), self.random.uniform(1, 10))
        if held and given_away:
            self.woken["their job was another's when they woke up"] += 1
            self.woken["ran on to where the fence refused them"] += ended
        _send(supervisor, signal.SIGCONT)

    def _write_lock_is_held(self) -> bool:
        """SQLite has one, and who was frozen inside a write transaction keeps it: nobody writes until they wake."""
        if self.stack.postgresql is not None:
            return False
        try:
            with contextlib.closing(sqlite3.connect(self.stack.home / "unlearn.db", timeout=LOCK_SECONDS)) as database:
                database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self.woken["had stopped all writers"] += 1
            return True
        return False

    def _one_that_works(self) -> int:
        """The supervisor of a running job; any, where none runs for a long time."""
        end = time.monotonic() + MOMENT_SECONDS
        while True:
            there = self.stack.supervisors()
            working = {pid for _, _, pid in _running() if pid in there}
            if working or (there and time.monotonic() > end):
                return self.random.choice(sorted(working or there))
            if time.monotonic() > end + MOMENT_SECONDS:
                raise RuntimeError("there is no worker")
            time.sleep(0.2)

    def _struck(self, kind: str, supervisor: int) -> list[Victim]:
        at = time.time()
        held = [Victim(job_id, attempt, at) for job_id, attempt, owner in _running() if owner == supervisor]
        self.victims.setdefault(kind, []).extend(held)
        return held

    def _mend(self) -> None:
        self.stack.signal_all(signal.SIGCONT)
        self.stack.start()
        self.stack.wait_until_ready()


def _at_once(_since: datetime) -> bool:
    return True


def _work_has_begun(since: datetime) -> bool:
    """A child has said how far it is."""
    with reading() as session:
        told = select(JobEvent.id).where(JobEvent.type == "progress", JobEvent.at > since)
        return session.scalars(told.limit(1)).first() is not None


def _work_is_done(since: datetime) -> bool:
    """A request has completed, so that there is something to be lost."""
    with reading() as session:
        done = select(Job.id).where(
            Job.kind == JobKind.UNLEARNING, Job.status == JobStatus.SUCCEEDED, Job.finished_at > since
        )
        return session.scalars(done.limit(1)).first() is not None


MOMENTS = (_at_once, _work_has_begun, _work_has_begun, _work_is_done)
"""When a fault comes, and up to two seconds later: while the last one is being mended, while jobs run, or after one."""
MOMENT_SECONDS = 60.0
"""If it does not come, the next fault does not wait for it."""

KINDS: Mapping[str, Callable[[Storm], bool]] = {
    "kill_child": lambda _: True,
    "kill_fork_server": lambda _: True,
    "kill_worker": lambda _: True,
    "kill_api": lambda _: True,
    "kill_scheduler": lambda storm: bool(storm.stack.schedulers()),
    "terminate_everything": lambda _: True,
    "kill_redis": lambda storm: storm.stack.redis is not None,
    "empty_redis": lambda storm: storm.stack.redis is not None,
    "restart_postgresql": lambda storm: storm.stack.postgresql is not None,
    "kill_postgresql": lambda storm: storm.stack.postgresql is not None,
    "fill_disk": lambda storm: storm.disk is not None,
    "freeze_worker": lambda _: True,
}
"""Every kind of fault, and where it applies."""


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """The folder as a disk of its own that can be filled; None without the right to mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        print("no right to mount a small disk: it will not be full")
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _ballast(disk: Path) -> Path:
    return disk / "ballast"


def _fill(disk: Path) -> None:
    with contextlib.suppress(OSError), _ballast(disk).open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _running() -> list[tuple[str, int, int]]:
    """The jobs that run: id, attempt, process id of the supervisor."""

    def look() -> list[tuple[str, int, int]]:
        with reading() as session:
            rows = session.execute(select(Job.id, Job.attempt, Job.owner).where(Job.status == JobStatus.RUNNING)).all()
        return [(row.id, row.attempt, pid_of(str(row.owner))) for row in rows]

    return patiently(look)


def _taken_away(victim: Victim) -> bool:
    def look() -> bool:
        with reading() as session:
            job = session.get_one(Job, victim.job_id)
        return is_final(job.status) or job.attempt > victim.attempt

    return patiently(look)


def _found() -> list[Found]:
    """Every request with its results, as the database and the files have them."""
    with reading() as session:
        versions: dict[str | None, list[ModelVersion]] = {}
        for version in session.scalars(select(ModelVersion)):
            versions.setdefault(version.made_by_job_id, []).append(version)
        reports: dict[str | None, list[str]] = {}
        for report in session.scalars(select(AuditReport)):
            reports.setdefault(report.forget_request_id, []).append(report.id)
        return [
            Found(
                external_id=str(request.external_id),
                status=request.status.value,
                final=is_final(request.status),
                version_ids=tuple(version.id for version in versions.get(request.job_id, [])),
                report_ids=tuple(reports.get(request.id, [])),
                weights_sha256=_digest(versions.get(request.job_id, []), request.result_version_id),
            )
            for request in session.scalars(select(ForgetRequest))
        ]


def _digest(versions: list[ModelVersion], result_id: str | None) -> str | None:
    return next((sha256_of(Path(version.weights_path)) for version in versions if version.id == result_id), None)


def _wait_for_jobs(seconds: float) -> int:
    """How many jobs have come to no end by then: those of Fisher diagonals of the results, too."""

    def left() -> int:
        with reading() as session:
            return sum(not is_final(status) for status in session.scalars(select(Job.status)))

    until(lambda: not patiently(left), seconds)
    return left()


def _attempts() -> dict[str, float | int | None]:
    with reading() as session:
        return spread([float(attempt) for attempt in session.scalars(select(Job.attempt))])


def _chains_hold() -> bool:
    with reading() as session:
        return all(heads.verify(session, tenant.id) is None for tenant in session.scalars(select(Tenant)))


def _named(account: Account) -> dict[str, list[str]]:
    named = {"lost": account.lost, "twice": account.twice, "stuck": account.stuck, "different": account.different}
    return {name: references for name, references in named.items() if references}


def _write_down(executor: str, figures: dict[str, Any]) -> None:
    written = json.loads(RESULT.read_text()) if RESULT.exists() else {"executors": {}}
    written["executors"][executor] = figures
    RESULT.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
