"""The Celery worker: `celery -A worker.main worker --pool threads --concurrency N`."""

from app.core.settings import get_settings
from app.forget_requests.service import follow
from worker.supervisor import Supervisor
from worker.tasks import create_celery


def _supervisor() -> Supervisor:
    return Supervisor(get_settings(), follow)


celery = create_celery(_supervisor)
