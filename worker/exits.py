"""How a child ends: its exit status says to the supervisor whether another attempt may fare better.

The numbers are those of sysexits.h where it has one that fits.
"""

import signal
from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from app.jobs.service import OUT_OF_MEMORY, WORKER_STOPPED


class Exit(IntEnum):
    """Of a child that ended by itself."""

    DONE = 0
    BAD_INPUT = 65
    """The job cannot be done, and has been told so: it is never tried again."""
    CRASHED = 70
    OUT_OF_MEMORY = 71
    STORAGE_FULL = 73
    DATA_UNREADABLE = 74
    DATABASE_UNAVAILABLE = 75


class Ending(NamedTuple):
    """What an attempt without a result is given back with."""

    reason: str
    detail: str
    excused: bool = False


_ENDINGS: Mapping[int, Ending] = {
    Exit.OUT_OF_MEMORY: Ending(
        OUT_OF_MEMORY, "There was not enough memory, on the GPU or the machine. Smaller batches need less."
    ),
    Exit.STORAGE_FULL: Ending(
        "storage_full", "There is no space left where the service writes its files.", excused=True
    ),
    Exit.DATA_UNREADABLE: Ending(
        "data_unreadable", "A file could not be read; it may be on a storage that is away.", excused=True
    ),
    Exit.DATABASE_UNAVAILABLE: Ending("database_unavailable", "The database did not answer.", excused=True),
}


def ending_of(status: int) -> Ending:
    """Of an attempt whose process ended with this status, -n if by signal n, while its job was not over."""
    if status in {-signal.SIGTERM, -signal.SIGINT}:
        return Ending(WORKER_STOPPED, "The process of the attempt was told to stop from outside.", excused=True)
    if status < 0:
        return Ending("crashed", f"The process of the attempt was ended by {signal.Signals(-status).name}.")
    return _ENDINGS.get(status, Ending("crashed", f"The process of the attempt ended with status {status}."))
