"""Doorbells: how executors hear that there is work. The database is the record; a bell that fails loses nothing."""

import os
from collections.abc import Sequence
from functools import cache
from typing import Protocol

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from app.core.settings import get_settings

TASK = "worker.run_job"


class DoorbellFailed(Exception):
    """Nobody heard it; the messages stay in the outbox."""


class Doorbell(Protocol):
    """Says to an executor: look."""

    def ring(self, job_ids: Sequence[str]) -> None:
        """Announce these jobs.

        Raises:
            DoorbellFailed: nobody heard it.
        """


class NoDoorbell:
    """For a process that is not connected to the dispatcher, or is the dispatcher: it looks by itself."""

    def ring(self, job_ids: Sequence[str]) -> None:
        """Nothing to do."""


class PipeDoorbell:
    """A newline on the standard input of the local dispatcher. The pipe becomes non-blocking."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_blocking(descriptor, False)

    def ring(self, job_ids: Sequence[str]) -> None:  # noqa: ARG002 - the dispatcher looks at the table itself
        """Write one newline."""
        try:
            os.write(self.descriptor, b"\n")
        except BlockingIOError:
            pass  # full of newlines that nobody has read yet: the bell is ringing
        except OSError as error:
            raise DoorbellFailed("the local dispatcher does not listen") from error


class CeleryDoorbell:
    """One Celery message a job, with its id and nothing else."""

    def __init__(self, broker: str) -> None:
        self.celery = Celery(broker=broker, set_as_current=False)
        self.celery.conf.update(
            task_ignore_result=True,
            broker_transport_options={"max_retries": 0, "socket_connect_timeout": 2, "socket_timeout": 5},
        )

    def ring(self, job_ids: Sequence[str]) -> None:
        """Send the messages; a broker that is away is not waited for."""
        try:
            for job_id in job_ids:
                self.celery.send_task(TASK, [job_id], retry=False)
        except (OperationalError, RedisError, OSError) as error:
            raise DoorbellFailed("the broker does not answer") from error

    def close(self) -> None:
        """Close the connections to the broker."""
        self.celery.close()


_connected: list[Doorbell] = []


def connect(doorbell: Doorbell) -> None:
    """Use this bell for the local executor from now on: `unlearn serve` has the dispatcher's pipe."""
    _connected[:] = [doorbell]


def disconnect() -> None:
    """Whoever heard it is gone, and its pipe's number may soon be another file's."""
    _connected.clear()


def doorbell_from_settings() -> Doorbell:
    """The bell of the configured executor."""
    settings = get_settings()
    if settings.executor == "celery":
        return _celery_doorbell(settings.redis_url)
    return _connected[0] if _connected else NoDoorbell()


@cache  # one connection pool a process
def _celery_doorbell(broker: str) -> CeleryDoorbell:
    return CeleryDoorbell(broker)
