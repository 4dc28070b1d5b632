"""Waiting for a service that may be slow, or not there just now."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from sqlalchemy.exc import DBAPIError

PATIENCE_SECONDS = 600.0

T = TypeVar("T")


class OutOfPatience(RuntimeError):
    """It did not happen in time."""


def patiently(attempt: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What the attempt returns, as soon as neither a connection nor the database fails it."""
    end = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (httpx.TransportError, DBAPIError) as error:
            if time.monotonic() > end:
                raise OutOfPatience(str(error)) from error
        time.sleep(0.1)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def finished(http: httpx.Client, job_id: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """The job, once it has succeeded.

    Raises:
        OutOfPatience: it has not, or came to another end.
    """
    end = time.monotonic() + seconds
    while True:
        job = http.get(f"/jobs/{job_id}").json()
        if job["status"] == "succeeded":
            return job
        if job["final"] or time.monotonic() > end:
            raise OutOfPatience(f"{job_id} is {job['status']}: {job['status_detail']}")
        time.sleep(0.05)
