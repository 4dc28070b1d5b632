"""The supervisor of one machine's jobs: claims, starts a child, keeps the lease, and settles what the child leaves."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from app.core import processes
from app.core.db import reading, transaction
from app.core.settings import Settings
from app.jobs import service as jobs
from app.outbox import service as outbox
from app.tables import Job
from worker.child import Child, Event
from worker.children import MODULE, Children
from worker.exits import Ending, ending_of

POLL_SECONDS = 0.25
GRACE_SECONDS = 4.0
MEASURE_SECONDS = 1.0
OUTAGE_SECONDS = 600.0
"""A child goes on so long without the database: nobody else can claim its job there either."""
LAST_TRIES_SECONDS = 3.0
"""A supervisor that is closing waits so long for it; then the lease brings the job back."""

log = logging.getLogger(__name__)


class Supervisor:
    """Runs jobs, each in a child process, from as many threads as call `run`."""

    def __init__(
        self,
        settings: Settings,
        follow: Callable[[Session, Job], None],
        module: str = MODULE,
        ready: Callable[[Session, str], bool] = lambda *_: True,
    ) -> None:
        self.follow = follow
        self._ready = ready
        self.owner = processes.identity()
        self._settings = settings
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._born = Children(module, threads=max(1, cores // settings.concurrency))
        self._lock = threading.Lock()
        self._closing = False
        self._children: set[Child] = set()

    def warm(self) -> None:
        """Import what jobs need, so that the next job need not wait for that; returns when that is done."""
        self._born.warm()

    def run(self, job_id: str) -> bool:
        """Claim a job and see one attempt through; False if it was not to be had, and another look is not worth it."""
        if self._closing:
            return False
        with transaction() as session:
            ready = self._ready(session, job_id)
            job = jobs.claim(session, job_id, owner=self.owner) if ready else None
            if job is not None:
                self.follow(session, job)
        if not ready:
            self._relay()
            return True  # it waits for another job now, which may be waiting itself
        if job is None:
            return False
        child = self._take()
        try:
            child.start(job.id, job.fence, jobs.times_out_of_memory(job))
            _Attempt(self, child, job, self._settings).watch()
        finally:
            child.kill()
            with self._lock:
                self._children.discard(child)
        self._relay()
        return True

    def close(self) -> None:
        """End all children; their jobs are given back by the threads that run them."""
        with self._lock:
            self._closing = True
            children = list(self._children)
        for child in children:
            child.stop()
        self._born.close()

    @property
    def closing(self) -> bool:
        """It takes no more jobs."""
        return self._closing

    def _relay(self) -> None:
        """Announce what waited for this job at once; the local dispatcher looks by itself."""
        if self._settings.executor == "celery":
            try:
                outbox.relay()
            except SQLAlchemyError:
                log.warning("the database does not answer; the scheduler announces the next job", exc_info=True)

    def _take(self) -> Child:
        child = self._born.start()
        with self._lock:
            self._children.add(child)
            if self._closing:
                child.stop()  # too late: the attempt ends at once, and the job is given back
        return child


class _Attempt:
    """One attempt at a job, watched until its child has ended and the job is settled."""

    def __init__(self, supervisor: Supervisor, child: Child, job: Job, settings: Settings) -> None:
        self.supervisor = supervisor
        self.child = child
        self.job_id, self.fence, self.number = job.id, job.fence, job.attempt
        self.settings = settings
        self.started = self.renewed = self.answered = time.monotonic()
        self.earlier = job.seconds or 0.0
        self.measured = 0.0
        self.unreported: list[Event] = []
        self.stop_by: float | None = None
        self.cut_short: Ending | None = None

    def watch(self) -> None:
        while not self.child.ended.is_set() and self.cut_short is None:
            self.unreported += self.child.events(POLL_SECONDS)
            self._measure()
            try:
                standing = self._standing()
                self._report()
            except jobs.FenceLost:
                break
            except OperationalError:
                log.warning("%s: the database does not answer", self.job_id, exc_info=True)
                if time.monotonic() - self.answered > OUTAGE_SECONDS:
                    break
                continue
            self.answered = time.monotonic()
            if standing == "lost":
                break
            if standing == "cancelling" and self.stop_by is None:
                self.child.cancel()
                self.stop_by = time.monotonic() + GRACE_SECONDS
            if self.stop_by is not None and time.monotonic() > self.stop_by:
                break
        self._settle()

    def _standing(self) -> jobs.Standing:
        if self._worked() > self.settings.soft_limit_seconds and self.stop_by is None:
            return self._time_out()
        if time.monotonic() - self.renewed < self.settings.lease_seconds / 6:
            with reading() as session:
                return jobs.standing(session, self.job_id, self.fence)
        at = time.monotonic()
        with transaction() as session:
            standing = jobs.renew(session, self.job_id, self.fence)
        self.renewed = at
        return standing

    def _time_out(self) -> jobs.Standing:
        """The soft limit: as a cancellation, but the grace lasts until the hard one."""
        with transaction() as session:
            jobs.time_out(session, self.job_id, self.fence, self._too_long())
            standing = jobs.standing(session, self.job_id, self.fence)
        self.child.cancel()
        self.stop_by = self.started + self.settings.hard_limit_seconds - self.earlier
        return standing

    def _measure(self) -> None:
        """The limits that hold without the database."""
        if self._worked() > self.settings.hard_limit_seconds:
            self.cut_short = Ending(jobs.TIME_LIMIT, self._too_long())
        limit = self.settings.memory_limit_bytes
        if limit is None or time.monotonic() - self.measured < MEASURE_SECONDS:
            return
        self.measured = time.monotonic()
        found = processes.resident_bytes(self.child.pid)
        if found > limit:
            detail = f"The processes of the job held {found} bytes, UNLEARN_MEMORY_LIMIT_BYTES is {limit}."
            self.cut_short = Ending(jobs.OUT_OF_MEMORY, detail)

    def _worked(self) -> float:
        return self.earlier + time.monotonic() - self.started

    def _too_long(self) -> str:
        limit = self.settings.soft_limit_seconds
        return f"The job has worked for longer than UNLEARN_SOFT_LIMIT_SECONDS={limit:g}, all attempts together."

    def _report(self) -> None:
        if self.unreported:
            with transaction() as session:
                jobs.record(session, self.job_id, self.fence, self.unreported)
            self.unreported = []

    def _settle(self) -> None:
        if self.stop_by is None and self.cut_short is None:
            self.child.wait(1.0)  # it may just be tidying up after its last transaction
        status = self.child.kill()
        self.unreported += self.child.events(0)
        self.unreported.append(("attempt", self._document(status)))
        ending = self.cut_short or ending_of(status)
        if self.supervisor.closing:
            ending = Ending(jobs.WORKER_STOPPED, "The worker was stopped.", excused=True)
        began = time.monotonic()
        while True:
            try:
                self._report()
                self._give_back(ending)
            except jobs.FenceLost:
                log.warning("%s: fence %d was lost", self.job_id, self.fence)
            except OperationalError:
                patience = LAST_TRIES_SECONDS if self.supervisor.closing else OUTAGE_SECONDS
                if time.monotonic() - began > patience:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            return

    def _give_back(self, ending: Ending) -> None:
        with transaction() as session:
            if ending.reason == jobs.TIME_LIMIT:
                jobs.time_out(session, self.job_id, self.fence, ending.detail)
            job = jobs.give_back(session, self.job_id, self.fence, ending.reason, ending.detail, excused=ending.excused)
            if job is not None:
                log.log(logging.INFO if ending.excused else logging.ERROR, "%s: %s", self.job_id, ending.detail)
                self.supervisor.follow(session, job)

    def _document(self, status: int) -> dict[str, object]:
        """What is known about the process of the attempt."""
        return {
            "attempt": self.number,
            "status": status,
            "signal": signal.Signals(-status).name if status < 0 else None,
            "seconds": round(time.monotonic() - self.started, 3),
            "cpu_seconds": round(self.child.usage.cpu_seconds, 3),
            "peak_rss_bytes": self.child.usage.peak_rss_bytes,
            "stderr": self.child.tail(),
        }
