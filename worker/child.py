"""A child process as its supervisor sees it: orders in, events out, and no way for it to outlive its supervisor."""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from typing import IO, Any, NamedTuple

from worker.channel import CANCEL

TAIL_LINES = 50
MOST_EVENTS = 1000

Event = tuple[str, dict[str, Any]]


class Usage(NamedTuple):
    """What a process used, and those that it started and waited for."""

    cpu_seconds: float
    peak_rss_bytes: int


class Child:
    """One process, leader of its own session, and its standard input, output and error."""

    def __init__(self, pid: int, orders: int, events: int, errors: int) -> None:
        self.pid = pid
        """Its process id, and its group's and session's."""
        self.usage = Usage(0.0, 0)
        """Known when it has ended."""
        self.ended = threading.Event()
        """It has closed its output: it is dead or dying, and all it said is in the queue."""
        self._waiting = threading.Lock()
        self._status: int | None = None
        self._orders = os.fdopen(orders, "wb")
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stderr: deque[str] = deque(maxlen=TAIL_LINES)
        self._readers = [
            threading.Thread(target=self._read_events, args=(os.fdopen(events, "rb"),), daemon=True),
            threading.Thread(target=self._read_stderr, args=(os.fdopen(errors, "rb"),), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self._reaped(os.WNOHANG) is None

    def start(self, job_id: str, fence: int, halvings: int = 0) -> None:
        """Give it its order."""
        self._send(json.dumps({"job": job_id, "fence": fence, "halvings": halvings}))

    def cancel(self) -> None:
        """Ask it to stop."""
        self._send(CANCEL)

    def events(self, seconds: float) -> list[Event]:
        """What it says within that time; returns early when it ends. Only the newest progress is kept."""
        heard: list[Event] = []
        end = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while len(heard) < MOST_EVENTS:
                event = self._events.get(timeout=max(0.0, end - time.monotonic()))
                if event is None:
                    self._events.put(None)  # the end stays the end, however often it is asked for
                    break
                heard.append(event)
        last = max((number for number, event in enumerate(heard) if event[0] == "progress"), default=-1)
        return [event for number, event in enumerate(heard) if event[0] != "progress" or number == last]

    def wait(self, seconds: float) -> int | None:
        """Its exit status; None if it has not ended by then."""
        end = time.monotonic() + seconds
        while (status := self._reaped(os.WNOHANG)) is None and time.monotonic() < end:
            time.sleep(0.005)
        return status

    def tail(self) -> str:
        """The end of what it wrote to stderr."""
        return "".join(self._stderr)[-4000:]

    def stop(self) -> None:
        """End it and whatever it started, at once; whoever watches it sees that."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> int:
        """End it, and close what led to it; its exit status."""
        self.stop()
        status = self._reaped(0) or 0
        for reader in self._readers:
            reader.join(5)
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        return status

    def _reaped(self, flags: int) -> int | None:
        """Its exit status, if it has ended; what it used is noted on that occasion, the only one there is."""
        with self._waiting:
            if self._status is None:
                pid, status, used = os.wait4(self.pid, flags)
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
                    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                    self.usage = Usage(used.ru_utime + used.ru_stime, peak)
            return self._status

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it died: whoever watches it sees that
            self._orders.write(line.encode() + b"\n")
            self._orders.flush()

    def _read_events(self, pipe: IO[bytes]) -> None:
        try:
            with pipe:
                for line in pipe:
                    message = json.loads(line)
                    self._events.put((message["type"], message["data"]))
        finally:
            self.ended.set()
            self._events.put(None)

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                self._stderr.append(line.decode(errors="replace"))
