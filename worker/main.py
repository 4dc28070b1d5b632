"""The Celery worker: `celery -A worker.main worker --pool threads --concurrency N`."""

from app.core.settings import get_settings
from worker.supervisor import Supervisor
from worker.tasks import create_celery


def _supervisor() -> Supervisor:
    from worker.pipeline import follow  # noqa: PLC0415 - so that this file can be imported without torch

    return Supervisor(get_settings(), follow)


celery = create_celery(_supervisor)
