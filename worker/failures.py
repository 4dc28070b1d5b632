"""What an unexpected exception in a child says about the next attempt: try again, later, with less; or who knows."""

import errno
from collections.abc import Iterator, Sequence

import torch
from safetensors import SafetensorError
from sqlalchemy.exc import InterfaceError, OperationalError

from worker.exits import Exit

SIGNS: Sequence[tuple[tuple[type[BaseException], ...], Sequence[str], frozenset[int], Exit]] = (
    ((MemoryError, torch.OutOfMemoryError), (), frozenset(), Exit.OUT_OF_MEMORY),
    ((RuntimeError,), ("can't allocate memory", "out of memory", "ALLOC_FAILED"), frozenset(), Exit.OUT_OF_MEMORY),
    ((OSError,), (), frozenset({errno.ENOSPC, errno.EDQUOT}), Exit.STORAGE_FULL),
    (
        (OSError, SafetensorError, OperationalError),  # libraries that turn the number into words
        ("No space left on device", "Disk quota exceeded", "database or disk is full"),
        frozenset(),
        Exit.STORAGE_FULL,
    ),
    ((OperationalError, InterfaceError), (), frozenset(), Exit.DATABASE_UNAVAILABLE),
    (
        (OSError,),
        (),
        frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EACCES, errno.EHOSTDOWN}),
        Exit.DATA_UNREADABLE,
    ),
)
"""Type, words of which one must be in its text, numbers of which one must be its `errno`; where there are none, any."""


def exit_of(error: BaseException) -> Exit:
    """By the error, what caused it, and what that was caused by: the first that says something."""
    found = (sign[-1] for link in _chain(error) for sign in SIGNS if _fits(link, *sign[:-1]))
    return next(found, Exit.CRASHED)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _fits(
    error: BaseException, types: tuple[type[BaseException], ...], words: Sequence[str], numbers: frozenset[int]
) -> bool:
    return (
        isinstance(error, types)
        and (not words or any(part in str(error) for part in words))
        and (not numbers or getattr(error, "errno", None) in numbers)
    )
