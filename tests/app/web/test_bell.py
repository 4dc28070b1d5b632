"""Whoever commits rings; no message waits for the next caller, and no caller for another's message."""

import threading

import pytest

from app.web.bell import Bell


def test_those_who_ring_during_a_relay_are_served_by_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, gate, relays = threading.Event(), threading.Event(), list[int]()

    def relay() -> None:
        relays.append(1)
        begun.set()
        assert gate.wait(30)

    monkeypatch.setattr("app.outbox.service.relay", relay)
    bell = Bell()
    first = threading.Thread(target=bell.ring)
    first.start()
    assert begun.wait(30)
    for _ in range(5):
        bell.ring()  # returns at once
    assert len(relays) == 1
    gate.set()
    first.join(30)
    assert len(relays) == 2


def test_a_relay_that_breaks_does_not_silence_the_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    relays = list[int]()

    def relay() -> None:
        relays.append(1)
        if len(relays) == 1:
            raise RuntimeError("the first one breaks")

    monkeypatch.setattr("app.outbox.service.relay", relay)
    bell = Bell()
    with pytest.raises(RuntimeError):
        bell.ring()
    bell.ring()
    assert len(relays) == 2
