"""What comes from the broker and is no message of ours: logged, counted, dropped. It must not end the worker.

Whoever can write to Redis can write anything. Kombu's transport raises where an envelope is no JSON or lacks a part,
and that ends a Celery worker; a message that Celery itself cannot read, it drops by itself, and we count.
"""

import logging
from itertools import count
from queue import Empty
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.transport import TRANSPORT_ALIASES, redis

from app.web.text import is_id

log = logging.getLogger(__name__)
_numbers = count(1)


def install() -> None:
    """Use our transport for Redis, in this process."""
    TRANSPORT_ALIASES.update(redis="worker.intake:Transport", rediss="worker.intake:Transport")


def drop(why: str) -> None:
    """One more. Its content is not logged: nobody knows what it holds."""
    log.error("dropped a malformed message from the broker, the %d. since the start: %s", next(_numbers), why)


def job_of(arguments: tuple[object, ...], options: dict[str, object]) -> str | None:
    """The job that a message names; None, and dropped, if it names none."""
    if len(arguments) == 1 and not options and isinstance(arguments[0], str) and is_id("job", arguments[0]):
        return arguments[0]
    drop("its arguments are not one id of a job")
    return None


class Channel(redis.Channel):
    """Drops envelopes that cannot be opened."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            drop(f"its envelope cannot be opened, {type(error).__name__}")
            raise Empty from None


class Transport(redis.Transport):
    """Redis, with such channels."""

    Channel = Channel


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """Counts what Celery drops."""

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It is no task."""
        drop("it is no task")
        super().on_unknown_message(body, message)

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """It is a task that nobody here has."""
        drop("nobody here has such a task")
        super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Any) -> None:
        """It is a task that lacks a part, or of a content type that is not accepted."""
        drop("it is no whole task, or not JSON")
        super().on_invalid_task(body, message, exc)

    def on_decode_error(self, message: Any, exc: Any) -> None:
        """Its body is not what it says."""
        drop("its body cannot be decoded")
        super().on_decode_error(message, exc)
