"""The Celery worker: `celery -A worker.main worker --pool threads --concurrency N`."""

from app.audit_reports.stand_alone import follow
from app.core.settings import get_settings
from app.forget_requests.planning import ready
from worker.supervisor import Supervisor
from worker.tasks import create_celery


def _supervisor() -> Supervisor:
    return Supervisor(get_settings(), follow, ready=ready)


celery = create_celery(_supervisor)
