"""The processes beside the API that `unlearn serve` starts, and starts again if they die: dispatcher, scheduler."""

import logging
import signal
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

from app.outbox import doorbells

DISPATCHER = (sys.executable, "-m", "worker.local")
SCHEDULER = (sys.executable, "-m", "app.cli", "scheduler", "--with-parent")
RESTART_SECONDS = 1.0
END_SECONDS = 15.0

log = logging.getLogger(__name__)


class Companion:
    """Use as a context: inside it the process runs; at its end there is none, nor any child of one.

    The end of its standard input tells it that its parent died.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._leaving = threading.Event()
        self._process = self._start()
        self._watch = threading.Thread(target=self._keep_alive, name="companion", daemon=True)

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._end(self._process)
        self._watch.join(END_SECONDS)

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches this process only, which then ends the dispatcher.
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self._connect(process)
        return process

    def _connect(self, process: subprocess.Popen[bytes]) -> None:
        """Nothing is said to it."""

    def _keep_alive(self) -> None:
        while not self._leaving.is_set():
            code = self._process.wait()
            if self._leaving.wait(RESTART_SECONDS):
                return
            log.error("%s ended with %d; starting another", " ".join(self._command[1:]), code)
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = self._start()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Dispatcher(Companion):
    """The one whose standard input is the doorbell. The jobs of one that died go to the next, once they are reaped."""

    def __init__(self, command: tuple[str, ...] = DISPATCHER) -> None:
        super().__init__(command)

    def _connect(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            doorbells.connect(doorbells.PipeDoorbell(process.stdin.fileno()))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        doorbells.disconnect()
        super()._end(process)
