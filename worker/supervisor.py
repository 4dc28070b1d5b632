"""The supervisor of one machine's jobs: claims, starts a child, keeps the lease, and settles what the child leaves."""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.db import reading, transaction
from app.core.settings import Settings
from app.jobs import service as jobs
from app.tables import Job
from worker.child import COMMAND, Child, Event

POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0

log = logging.getLogger(__name__)


class Supervisor:
    """Runs jobs, each in a child process, from as many threads as call `run`; keeps one warm spare child."""

    def __init__(
        self,
        settings: Settings,
        follow: Callable[[Session, Job], None],
        command: Sequence[str] = COMMAND,
        ready: Callable[[Session, str], bool] = lambda *_: True,
    ) -> None:
        self.follow = follow
        self._ready = ready
        self.owner = f"{platform.node()}:{os.getpid()}"[:200]
        self._settings = settings
        self._command = command
        self._lock = threading.Lock()
        self._closing = False
        self._children: set[Child] = set()
        self._spare: Child | None = None

    def warm(self) -> Child | None:
        """Have a spare child that imports what jobs need, so that the next job need not wait for that."""
        with self._lock:
            return None if self._closing else self._warm()

    def run(self, job_id: str) -> bool:
        """Claim a job and see one attempt through; False if it was not to be had, and another look is not worth it."""
        if self._closing:
            return False
        with transaction() as session:
            if not self._ready(session, job_id):
                return True  # it waits for another job now, which may be waiting itself
            job = jobs.claim(session, job_id, owner=self.owner)
            if job is not None:
                self.follow(session, job)
        if job is None:
            return False
        child = self._take()
        try:
            child.start(job.id, job.fence)
            self.warm()
            _Attempt(self, child, job.id, job.fence, self._settings.lease_seconds).watch()
        finally:
            child.kill()
            with self._lock:
                self._children.discard(child)
        return True

    def close(self) -> None:
        """End all children; their jobs are given back by the threads that run them."""
        with self._lock:
            self._closing = True
            spare, self._spare = self._spare, None
            children = list(self._children)
        if spare is not None:
            spare.kill()
        for child in children:
            child.stop()

    @property
    def closing(self) -> bool:
        """It takes no more jobs."""
        return self._closing

    def _warm(self) -> Child:
        if self._spare is None or not self._spare.alive:
            if self._spare is not None:
                log.error("the warm spare died: %s", self._spare.tail())
                self._spare.kill()
            self._spare = self._spawn()
        return self._spare

    def _take(self) -> Child:
        with self._lock:
            child, self._spare = self._warm(), None
            self._children.add(child)
            if self._closing:
                child.stop()  # too late: the attempt ends at once, and the job is given back
            return child

    def _spawn(self) -> Child:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return Child(self._command, threads=max(1, cores // self._settings.concurrency))


class _Attempt:
    """One attempt at a job, watched until its child has ended and the job is settled."""

    def __init__(self, supervisor: Supervisor, child: Child, job_id: str, fence: int, lease_seconds: float) -> None:
        self.supervisor = supervisor
        self.child = child
        self.job_id = job_id
        self.fence = fence
        self.lease_seconds = lease_seconds
        self.renewed = time.monotonic()
        self.stop_by: float | None = None

    def watch(self) -> None:
        while not self.child.ended.is_set():
            events = self.child.events(POLL_SECONDS)
            try:
                standing = self._standing()
                self._report(events)
            except jobs.FenceLost:
                break
            except OperationalError:  # the database may be back before the lease ends
                log.warning("%s: the database does not answer", self.job_id, exc_info=True)
                if time.monotonic() - self.renewed > self.lease_seconds:
                    raise
                continue
            if standing == "lost":
                break
            if standing == "cancelling" and self.stop_by is None:
                self.child.cancel()
                self.stop_by = time.monotonic() + GRACE_SECONDS
            if self.stop_by is not None and time.monotonic() > self.stop_by:
                break
        self._settle()

    def _standing(self) -> jobs.Standing:
        if time.monotonic() - self.renewed < self.lease_seconds / 6:
            with reading() as session:
                return jobs.standing(session, self.job_id, self.fence)
        at = time.monotonic()
        with transaction() as session:
            standing = jobs.renew(session, self.job_id, self.fence)
        self.renewed = at
        return standing

    def _report(self, events: Sequence[Event]) -> None:
        if events:
            with transaction() as session:
                jobs.record(session, self.job_id, self.fence, events)

    def _settle(self) -> None:
        if self.stop_by is None:
            self.child.wait(1.0)  # it may just be tidying up after its last transaction
        status = self.child.kill()
        reason = "worker_stopped" if self.supervisor.closing else "crashed"
        detail = f"The process of the attempt ended with status {status}."
        try:
            self._report(self.child.events(0))
        except jobs.FenceLost:
            log.warning("%s: fence %d was lost", self.job_id, self.fence)
            return
        with transaction() as session:
            if jobs.renew(session, self.job_id, self.fence) == "held":
                log.error("%s: %s %s", self.job_id, detail, self.child.tail())
                message = {"message": detail, "stderr": self.child.tail()}
                jobs.record(session, self.job_id, self.fence, [("log", message)])
            job = jobs.give_back(session, self.job_id, self.fence, reason, detail)
            if job is not None:
                self.supervisor.follow(session, job)
