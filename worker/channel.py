"""The child's end of its line to the supervisor: orders come in on stdin, JSON lines go out on what was stdout."""

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

CANCEL = "cancel"


class Order(NamedTuple):
    """Which attempt at which job this process is."""

    job: str
    fence: int
    halvings: int = 0
    """How often an attempt ran out of memory: this one takes half as much at a time, for each."""


class Channel:
    """Opened first thing: from then on stray prints go to stderr, and the end of stdin ends the process."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        threading.Thread(target=self._listen, name="channel", daemon=True).start()

    def tell(self, type_: str, data: Mapping[str, Any] | None = None) -> None:
        """One JSON line to the supervisor."""
        with self._lock:
            self._out.write(json.dumps({"type": type_, "data": data or {}}) + "\n")
            self._out.flush()

    def order(self) -> Order:
        """Wait for the order to work."""
        return self._orders.get()

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == CANCEL:
                self.cancelled.set()
            else:
                self._orders.put(Order(**json.loads(line)))
        os._exit(1)  # the supervisor is gone, and with it the lease: whatever this process does is of no use
