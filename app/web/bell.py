"""The bell after a commit: what the outbox holds is sent at once, and by the reaper later if that fails."""

import threading

from app.outbox import service


class Bell:
    """Rung by many, answered once for all who ring meanwhile: under load one relay sends the messages of several."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung = False

    def ring(self) -> None:
        """Send what waits; a broker that is away costs the request nothing."""
        self._rung = True  # before the lock is tried: who holds it looks again after its relay
        while self._rung and self._lock.acquire(blocking=False):
            try:
                self._rung = False
                service.relay()
            finally:
                self._lock.release()


ring = Bell().ring
