"""The Celery task, and a database that is away."""

from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from worker import tasks


class Supervising:
    """A database that is away for so many claims."""

    def __init__(self, failures: int, *, closes: bool = False) -> None:
        self.failures, self.closes, self.claims = failures, closes, 0
        self.closing = False

    def run(self, job_id: str) -> bool:
        self.claims += 1
        if self.claims <= self.failures:
            self.closing = self.closes
            raise OperationalError("SELECT", None, Exception("connection refused"))
        return job_id == "job_1"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.0)


def run(supervising: Supervising) -> None:
    tasks.persist(cast("Any", supervising), "job_1")


def test_a_message_outlasts_a_database_that_is_away() -> None:
    supervising = Supervising(failures=3)
    run(supervising)
    assert supervising.claims == 4


def test_but_not_a_worker_that_stops() -> None:
    supervising = Supervising(failures=3, closes=True)
    run(supervising)
    assert supervising.claims == 1
