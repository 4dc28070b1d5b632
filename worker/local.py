"""The embedded executor: a dispatcher that `unlearn serve` starts, with no broker, beside SQLite or PostgreSQL.

Its standard input is the doorbell: a newline means that there is work. The end of it means that the parent died, and
ends the dispatcher with all its children, so do not start it with an empty input. It says `ready` on its standard
output once the first job need not wait for imports.
"""

import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import OperationalError

from app.audit_reports.stand_alone import follow
from app.core.db import reading
from app.core.settings import get_settings
from app.forget_requests.planning import ready
from app.jobs import queries
from worker.supervisor import Supervisor

LOOK_SECONDS = 1.0

log = logging.getLogger(__name__)


class Dispatcher:
    """Gives waiting jobs to the supervisor's threads, oldest first."""

    def __init__(self, supervisor: Supervisor, concurrency: int) -> None:
        self._supervisor = supervisor
        self._concurrency = concurrency
        self._look = threading.Event()
        self._stopping = False
        self._running: dict[str, Future[bool]] = {}

    def listen(self, descriptor: int) -> None:
        """Look whenever the doorbell rings; stop at its end. For a thread of its own."""
        while os.read(descriptor, 4096):
            self._look.set()
        self.stop()

    def stop(self, *_: object) -> None:
        """End soon: also a signal's handler."""
        self._stopping = True
        self._look.set()

    def serve(self) -> None:
        """Until stopped."""
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="job") as threads:
            while not self._stopping:
                self._dispatch(threads)
                self._look.wait(LOOK_SECONDS)
                self._look.clear()
            self._supervisor.close()

    def _dispatch(self, threads: ThreadPoolExecutor) -> None:
        self._running = {job_id: future for job_id, future in self._running.items() if not future.done()}
        free = self._concurrency - len(self._running)
        if free <= 0:
            return
        try:
            with reading() as session:
                waiting = queries.waiting(session, self._concurrency)
        except OperationalError:
            log.warning("the database does not answer", exc_info=True)
            return
        for job_id in [job_id for job_id in waiting if job_id not in self._running][:free]:
            self._running[job_id] = future = threads.submit(self._supervisor.run, job_id)
            future.add_done_callback(self._finished)

    def _finished(self, future: "Future[bool]") -> None:
        error = future.exception()
        if error is not None:
            log.error("a supervisor thread broke; the job's lease will expire", exc_info=error)
        elif future.result():
            self._look.set()  # somebody may have waited for this one


def run(supervisor: Supervisor, concurrency: int, *, doorbell: int = 0) -> None:
    """Dispatch until the doorbell's end, SIGTERM or SIGINT."""
    dispatcher = Dispatcher(supervisor, concurrency)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, dispatcher.stop)
    threading.Thread(target=dispatcher.listen, args=(doorbell,), name="doorbell", daemon=True).start()
    threading.Thread(target=_say_ready, args=(supervisor,), name="ready", daemon=True).start()
    dispatcher.serve()


def _say_ready(supervisor: Supervisor) -> None:
    supervisor.warm()
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """`python -m worker.local`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = get_settings()
    run(Supervisor(settings, follow, ready=ready), settings.concurrency)


if __name__ == "__main__":
    main()
