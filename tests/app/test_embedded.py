"""The embedded service always has one dispatcher, and leaves none behind."""

import os
import signal
import sys
import time

import pytest

from app import embedded
from app.embedded import Dispatcher
from app.outbox.doorbells import NoDoorbell, PipeDoorbell, doorbell_from_settings
from tests.conftest import Home

SLEEPER = (sys.executable, "-c", "import sys; sys.stdin.read()")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_dispatcher_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0.01)
    with Dispatcher(SLEEPER) as dispatcher:
        first = dispatcher.pid
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while dispatcher.pid == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert alive(dispatcher.pid)


def test_the_end_of_the_service_is_the_end_of_its_dispatcher() -> None:
    with Dispatcher(SLEEPER) as dispatcher:
        pid = dispatcher.pid
        assert alive(pid)
    assert not alive(pid)


def test_nobody_rings_at_a_dispatcher_that_is_gone(home: Home) -> None:  # noqa: ARG001 - its settings
    with Dispatcher(SLEEPER):
        assert isinstance(doorbell_from_settings(), PipeDoorbell)
    assert isinstance(doorbell_from_settings(), NoDoorbell)


def test_a_dispatcher_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "END_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    with Dispatcher((sys.executable, "-c", deaf)) as dispatcher:
        pid = dispatcher.pid
        time.sleep(0.5)  # until it is deaf
    assert not alive(pid)
