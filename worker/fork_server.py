"""The process that a worker's children are forked from: it has imported what every job needs, so they need not.

`python -m worker.fork_server <module>`; the module's `load()` says what a child does. Standard input is a socket to the
supervisor (`worker.children`): one byte from here when everything is imported, then for each byte from there, which
brings a child's standard input, output and error along, the child's process id. The end of the socket ends the process.

A child is forked twice and its first parent ends at once, so that it becomes a child of the supervisor, which is a
*subreaper* meanwhile (prctl(2)): waiting for it, killing it and outliving this process are then as with any other.

Forked before torch has run anything: neither OpenMP nor autograd has a thread yet and nobody has asked for CUDA, which
must not be initialised before a fork. Only imports may happen here.
"""

import gc
import importlib
import os
import select
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NoReturn

READY = b"r"
FORK = b"f"
NAME = "unlearn-job"
"""What `ps` calls a forked child."""

PID = struct.Struct("i")
LOOK_SECONDS = 0.1


def serve(line: socket.socket, module: ModuleType) -> None:
    """Fork whenever the supervisor asks, until it is gone."""
    run_job = importlib.import_module("worker.run_job")
    with _ending_with(line):  # importing takes seconds
        loaded = module.load()
    gc.collect()
    gc.freeze()  # the collector would touch pages that children share, and so copy them
    line.sendall(READY)
    while True:
        asked, descriptors, _, _ = socket.recv_fds(line, len(FORK), 3)
        if not asked:
            return
        line.sendall(PID.pack(_fork(descriptors, lambda: run_job.main(lambda: loaded))))
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(descriptors: list[int], main: Callable[[], int]) -> int:
    told, tell = os.pipe()
    between = os.fork()
    if between == 0:
        led, leads = os.pipe()
        pid = os.fork()
        if pid == 0:
            for descriptor in (told, tell, led):
                os.close(descriptor)
            _become(descriptors, leads, main)
        os.close(leads)
        os.read(led, 1)  # the end: it leads its session, and can be killed with all that it starts, or it is dead
        os.write(tell, PID.pack(pid))
        os._exit(0)
    os.close(tell)
    (pid,) = PID.unpack(os.read(told, PID.size))
    os.close(told)
    os.waitpid(between, 0)
    return int(pid)


def _become(descriptors: list[int], leads: int, main: Callable[[], int]) -> NoReturn:
    """What a process started by command would be: leader of a session, with three streams and nothing else open."""
    status = 70
    try:
        os.setsid()
        Path("/proc/self/comm").write_text(NAME)  # the command line is its parents'
        os.close(leads)
        for stream, descriptor in enumerate(descriptors):
            os.dup2(descriptor, stream)
        os.closerange(3, max(descriptors) + 1)
        status = main()
    except BaseException:  # noqa: BLE001 - the outermost block: nothing may return into the server's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@contextmanager
def _ending_with(line: socket.socket) -> Iterator[None]:
    """Inside, the end of the socket ends this process at once. No thread is left afterwards: it would not be forked."""
    done = threading.Event()

    def watch() -> None:
        hang_up = select.poll()
        hang_up.register(line, select.POLLRDHUP)
        while not done.is_set():
            if hang_up.poll(LOOK_SECONDS * 1000):
                os._exit(0)

    watcher = threading.Thread(target=watch, name="line")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)), importlib.import_module(sys.argv[1]))
