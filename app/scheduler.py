"""The scheduler: what has to be done again and again, by one process, whoever else is dead.

Each duty has a thread of its own, so that a slow one (verifying the audit logs, calling a webhook) delays no other. All
of them run only while this process holds the lease `scheduler` in the database. The lease makes the work single, not
safe: every duty locks what it changes, so two schedulers at once, one of which has just lost the lease, do no harm.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app import leases
from app.audit_reports.stand_alone import follow
from app.core import processes
from app.core.db import reading, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import is_final
from app.forget_requests import deadlines
from app.jobs import queries
from app.jobs import service as jobs
from app.outbox import service as outbox
from app.purges.files import destroy_purged
from app.signing_keys import heads
from app.tables import Job
from app.webhooks import service as webhooks

LEASE = "scheduler"
LEASE_SECONDS = 6.0
RENEW_SECONDS = 1.5
PARDON_SECONDS = 3.0
"""After the database was away, supervisors get so long to renew their leases before anything is taken from them."""
NOT_AT_ONCE = timedelta(seconds=1)

log = logging.getLogger(__name__)


class Duty(NamedTuple):
    """Something to be done again and again."""

    name: str
    every_seconds: float
    do: Callable[[], None]


class Reaper:
    """Takes jobs back from workers that are gone."""

    def __init__(self) -> None:
        self._pardon_until = 0.0

    def __call__(self) -> None:
        """Once; what it queued again is announced at once."""
        try:
            with reading() as session:
                dead = [owner for owner in queries.owners(session) if processes.is_dead(owner)]
                needed = bool(dead) or jobs.anything_to_reap(session)
        except OperationalError:
            self._pardon_until = time.monotonic() + PARDON_SECONDS
            raise
        if not needed or time.monotonic() < self._pardon_until:
            return
        with transaction() as session:
            for job in jobs.reap(session, dead):
                log.warning("%s: taken back from %s, now %s", job.id, job.owner, job.status)
                follow(session, job)
        outbox.relay()


def relay() -> None:
    """Announce what nobody announced at once: a process died between its commit and that, or the broker was away."""
    outbox.relay(older_than=NOT_AT_ONCE)


def sweep(runs: Path | None = None) -> None:
    """Remove what attempts at jobs that are over have left behind: it may hold ids of samples."""
    for folder in (runs or get_settings().runs).glob("job_*"):
        with reading() as session:
            job = session.get(Job, folder.name)
        if job is not None and is_final(job.status):
            shutil.rmtree(folder, ignore_errors=True)  # its child may be removing it at the same time


def check_audit_logs() -> None:
    """Verify the chains and sign their heads; alarm about one that does not hold."""
    with reading() as session:
        found = heads.look_at_all(session)
    with transaction() as session:
        heads.settle(session, found)


def watch_deadlines() -> None:
    """Write down which forget requests are due soon."""
    with transaction() as session:
        deadlines.notify(session)


def tell() -> None:
    """Deliver to webhooks what is due."""
    webhooks.deliver_due()


DUTIES: Sequence[Duty] = (
    Duty("reap", 1.0, Reaper()),
    Duty("relay", 1.0, relay),
    Duty("sweep", 10.0, sweep),
    Duty("destroy", 5.0, destroy_purged),
    Duty("deadlines", 60.0, watch_deadlines),
    Duty("webhooks", 2.0, tell),
    Duty("audit_logs", 3600.0, check_audit_logs),
)
"""Whatever else must happen by itself is one more line."""


class Scheduler:
    """Does the duties from `start` to `stop`, whenever it holds the lease."""

    def __init__(self, duties: Sequence[Duty] = DUTIES) -> None:
        self._owner = processes.identity()
        self._stopped = threading.Event()
        self._holding = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_lease, name="lease", daemon=True),
            *(threading.Thread(target=self._repeat, args=(duty,), name=duty.name, daemon=True) for duty in duties),
        ]

    @property
    def holding(self) -> bool:
        """It is the one that works."""
        return self._holding.is_set()

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, patience_seconds: float = 10.0) -> None:
        """End after what it is doing, and leave the lease to the next one."""
        self._stopped.set()
        self._holding.set()  # wakes the duties that wait for it; they see that all is over
        for thread in self._threads:
            thread.join(patience_seconds)
        try:
            with transaction() as session:
                leases.release(session, LEASE, owner=self._owner)
        except SQLAlchemyError:
            log.warning("the lease is left to expire: the database does not answer")

    def _keep_lease(self) -> None:
        renewed = float("-inf")
        while not self._stopped.is_set():
            at = time.monotonic()
            try:
                with transaction() as session:
                    held = leases.hold(session, LEASE, owner=self._owner, seconds=LEASE_SECONDS)
                renewed = at if held else renewed
            except SQLAlchemyError:
                log.warning("the database does not answer", exc_info=True)
                held = at - renewed < LEASE_SECONDS
            if held and not self._stopped.is_set():
                self._holding.set()
            elif not self._stopped.is_set():
                self._holding.clear()
            self._stopped.wait(RENEW_SECONDS)

    def _repeat(self, duty: Duty) -> None:
        while self._holding.wait() and not self._stopped.is_set():
            try:
                duty.do()
            except Exception:  # the outermost block of its thread: one duty that breaks must not end the others
                log.exception("%s failed; it is tried again in %g s", duty.name, duty.every_seconds)
            self._stopped.wait(duty.every_seconds)


def run(stop: threading.Event) -> None:
    """Until somebody sets `stop`."""
    scheduler = Scheduler()
    scheduler.start()
    stop.wait()
    scheduler.stop()
