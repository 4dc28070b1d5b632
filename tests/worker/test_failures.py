"""What a child's last exception says about the next attempt."""

import errno

import pytest
import torch
from safetensors import SafetensorError
from sqlalchemy.exc import OperationalError

from worker.exits import Exit, ending_of
from worker.failures import exit_of


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Exit.OUT_OF_MEMORY),
        (MemoryError(), Exit.OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), Exit.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Exit.STORAGE_FULL),
        (SafetensorError("I/O error: No space left on device (os error 28)"), Exit.STORAGE_FULL),
        (OperationalError("INSERT", {}, Exception("database or disk is full")), Exit.STORAGE_FULL),
        (OperationalError("SELECT", {}, Exception("server closed the connection")), Exit.DATABASE_UNAVAILABLE),
        (OSError(errno.EIO, "Input/output error"), Exit.DATA_UNREADABLE),
        (caused(ValueError("no manifest"), OSError(errno.ESTALE, "Stale file handle")), Exit.DATA_UNREADABLE),
        (FileNotFoundError(errno.ENOENT, "No such file"), Exit.CRASHED),
        (RuntimeError("out of luck"), Exit.CRASHED),
        (caused(RuntimeError("a"), caused(KeyError("b"), ZeroDivisionError())), Exit.CRASHED),
    ],
)
def test_an_exception_becomes_an_exit_status(error: Exception, expected: Exit) -> None:
    assert exit_of(error) is expected


@pytest.mark.parametrize(
    ("status", "reason", "excused"),
    [
        (Exit.CRASHED, "crashed", False),
        (0, "crashed", False),  # it ended well and its job is not over: a story that forgot its end
        (-9, "crashed", False),
        (-15, "worker_stopped", True),
        (Exit.OUT_OF_MEMORY, "out_of_memory", False),
        (Exit.STORAGE_FULL, "storage_full", True),
        (Exit.DATABASE_UNAVAILABLE, "database_unavailable", True),
    ],
)
def test_an_exit_status_becomes_a_reason(status: int, reason: str, excused: bool) -> None:  # noqa: FBT001
    ending = ending_of(status)
    assert (ending.reason, ending.excused) == (reason, excused)


def test_the_signal_stands_in_the_sentence() -> None:
    assert ending_of(-11).detail == "The process of the attempt was ended by SIGSEGV."
