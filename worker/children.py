"""Where a supervisor's children come from: forked by a process that has imported torch already, or started anew."""

import ctypes
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worker.child import Child
from worker.fork_server import FORK, PID, READY

MODULE = "worker.run_job"
PATIENCE_SECONDS = 120.0
PR_SET_CHILD_SUBREAPER = 36

SPIN_BRIEFLY = {"GOMP_SPINCOUNT": "1000"}
"""OpenMP threads that wait by spinning lose whole time slices where another process has their core. An operator's own
setting wins."""

_adopting = threading.Lock()

log = logging.getLogger(__name__)


class Children:
    """Starts child processes that run `module`.

    On Linux a fork server (`worker.fork_server`) makes one in milliseconds. Where there is none, or it will not start,
    a child is an interpreter of its own, and imports for some seconds before it begins.
    """

    def __init__(self, module: str = MODULE, *, threads: int) -> None:
        self._module = module
        self._threads = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": "1",  # starts its threads when it is imported, which is before the fork
        }
        self._lock = threading.Lock()
        self._closing = False
        self._server: _Server | None = None

    def warm(self) -> bool:
        """Have the fork server wait for the first job; False if children are started without one."""
        with self._lock:
            return self._warm() is not None

    def start(self) -> Child:
        """One more child, which waits for its order."""
        theirs, ours = _streams()
        try:
            pid = self._fork(theirs) or self._spawn(theirs)
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return Child(pid, *ours)

    def close(self) -> None:
        """End the fork server; children live on."""
        self._closing = True
        server = self._server
        if server is not None:
            server.kill()  # before the lock: somebody may hold it who waits for the server
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None

    def _fork(self, streams: tuple[int, int, int]) -> int | None:
        with self._lock:
            server = self._warm()
            return server.fork(streams) if server is not None else None

    def _warm(self) -> "_Server | None":
        if self._server is not None and not self._server.alive:
            log.warning("the fork server died; starting another")
            self._server.close()
            self._server = None
        if self._server is None and not self._closing and sys.platform == "linux":
            self._server = _Server(self._module, self._environment())
        if self._server is not None and not self._server.ready():
            log.error("the fork server does not start; each child imports by itself")
            self._server.close()
            self._server = None
        return self._server

    def _environment(self) -> Mapping[str, str]:
        return {**SPIN_BRIEFLY, **os.environ, **self._threads}

    def _spawn(self, streams: tuple[int, int, int]) -> int:
        return os.posix_spawn(
            sys.executable,
            (sys.executable, "-m", self._module),
            self._environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, stream) for stream, descriptor in enumerate(streams)],
            setsid=True,
        )


class _Server:
    """A fork server and the line to it."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(PATIENCE_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "worker.fork_server", module),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=dict(environment),
            )
        self._ready = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> bool:
        """It has imported everything; waits for that. False if it ended or takes too long."""
        try:
            self._ready = self._ready or self._line.recv(len(READY)) == READY
        except OSError:
            log.warning("no word from the fork server", exc_info=True)
        return self._ready

    def fork(self, streams: tuple[int, int, int]) -> int | None:
        """The process id of a new child; None if the server is no more."""
        try:
            with _subreaper():
                socket.send_fds(self._line, [FORK], streams)
                pid = self._line.recv(PID.size)
        except OSError:
            log.warning("the fork server gives no child", exc_info=True)
            self.kill()
            return None
        return int(PID.unpack(pid)[0]) if pid else None

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._line.close()


def _streams() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Three pipes for standard input, output and error: the child's ends, and ours."""
    (orders, order), (listen, tell), (log_from, log_to) = os.pipe(), os.pipe(), os.pipe()
    return (orders, tell, log_to), (order, listen, log_from)


@contextmanager
def _subreaper() -> Iterator[None]:
    """Inside, processes below this one that lose their parent become children of this one.

    Not for longer than a fork takes: whoever adopts must also bury, and orphans of jobs are init's to bury.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    with _adopting:
        if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        try:
            yield
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
