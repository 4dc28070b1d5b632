"""The Celery app: one task, which is given a job's id and nothing else.

A message is acknowledged before the job runs: the lease in the database, not the broker, brings a job back whose worker
died. With late acknowledgement long jobs ran two and three times.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import cache

from celery import Celery, signals
from sqlalchemy.exc import OperationalError

from app.core.settings import get_settings
from app.outbox.doorbells import TASK
from worker import intake
from worker.supervisor import Supervisor

AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


def create_celery(make_supervisor: Callable[[], Supervisor]) -> Celery:
    """The Celery app, with its task."""
    settings = get_settings()
    intake.install()
    celery = Celery("unlearnd", broker=settings.redis_url, set_as_current=False)
    celery.conf.update(
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        result_backend=None,
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        worker_concurrency=settings.concurrency,
        worker_consumer="worker.intake:Consumer",
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_pool="threads",
        worker_prefetch_multiplier=1,
    )
    _register(celery, make_supervisor)
    return celery


def persist(supervisor: Supervisor, job_id: str) -> None:
    """Run the job as soon as the database answers.

    The message is acknowledged: if it were given up here, the job would wait until the reaper announces it again.
    """
    while not supervisor.closing:
        try:
            supervisor.run(job_id)
        except OperationalError:
            log.warning("%s: the database does not answer", job_id)
            time.sleep(AGAIN_SECONDS)
        else:
            return


def _register(celery: Celery, make_supervisor: Callable[[], Supervisor]) -> None:
    """Add the task; its supervisor is made when the worker is ready, and not where messages are only sent."""
    supervisor = cache(make_supervisor)

    @celery.task(name=TASK, typing=False)  # type: ignore[untyped-decorator]
    def run_job(*arguments: object, **options: object) -> None:
        job_id = intake.job_of(arguments, options)
        if job_id is not None:
            persist(supervisor(), job_id)

    def ready(**_: object) -> None:
        # In a thread: a signal's handler, which runs in this one, may close the supervisor meanwhile.
        threading.Thread(target=supervisor().warm, name="warm", daemon=True).start()

    def shutting_down(**_: object) -> None:
        supervisor().close()  # their jobs are given back, so the tasks end and the worker need not wait for hours

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(shutting_down, weak=False)
