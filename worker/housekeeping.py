"""What has to be done again and again, by every process that executes jobs: relay the outbox, reap, follow."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.db import reading, transaction
from app.core.errors import Problem
from app.core.settings import get_settings
from app.domain.lifecycle import is_final
from app.jobs import service as jobs
from app.outbox import service as outbox
from app.signing_keys import heads
from app.tables import Job
from app.webhooks import service as webhooks

EVERY_SECONDS = 2.0
LOG_CHECK_SECONDS = 3600.0
"""Between two verifications of the audit logs by one process."""

log = logging.getLogger(__name__)

Follow = Callable[[Session, Job], None]


def tidy(follow: Follow) -> None:
    """Once. A database that does not answer is for the next time."""
    try:
        with transaction() as session:
            for job in jobs.reap(session):
                log.warning("%s: taken back from %s, now %s", job.id, job.owner, job.status)
                follow(session, job)
        outbox.relay()
        sweep(get_settings().runs)
    except SQLAlchemyError:
        log.warning("the database does not answer", exc_info=True)


def check_audit_logs() -> None:
    """Verify the chains and sign their heads; alarm about one that does not hold. A failure is for the next time."""
    try:
        with reading() as session:
            found = heads.look_at_all(session)
        with transaction() as session:
            heads.settle(session, found)
    except Problem as problem:
        log.warning("the audit logs could not be signed: %s", problem.detail)
    except SQLAlchemyError:
        log.warning("the database does not answer", exc_info=True)


def tell() -> None:
    """Deliver to webhooks what is due. A database that does not answer is for the next time."""
    try:
        webhooks.deliver_due()
    except SQLAlchemyError:
        log.warning("the database does not answer", exc_info=True)


def sweep(runs: Path) -> None:
    """Remove what attempts at jobs that are over have left behind: it may hold ids of samples."""
    for folder in runs.glob("job_*"):
        with reading() as session:
            job = session.get(Job, folder.name)
        if job is not None and is_final(job.status):
            shutil.rmtree(folder, ignore_errors=True)  # its child may be removing it at the same time


class Housekeeping:
    """A thread that tidies until it is stopped, and one that tells: a receiver that is slow holds up no job."""

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="housekeeping", daemon=True),
            threading.Thread(target=self._tell, name="webhooks", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after what it is doing."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(10)

    def _tell(self) -> None:
        while not self._stopped.is_set():
            tell()
            self._stopped.wait(EVERY_SECONDS)

    def _run(self) -> None:
        checked = float("-inf")
        while not self._stopped.is_set():
            tidy(self._follow)
            if time.monotonic() - checked >= LOG_CHECK_SECONDS:
                checked = time.monotonic()
                check_audit_logs()
            self._stopped.wait(EVERY_SECONDS)
