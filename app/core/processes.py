"""Who a process is: a name that no other process has ever had, and whether its bearer is dead for certain."""

import os
import platform
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class _Stat(NamedTuple):
    state: str
    started: str  # clock ticks after boot: a process id that was used again has another one


def identity() -> str:
    """`host:boot:namespace:pid:start` of this process.

    The boot and the namespace of process ids say whether a process id means the same to whoever reads it; without
    `/proc` they are empty, and nobody is ever called dead.
    """
    stat = _stat(os.getpid())
    return f"{_place()}:{os.getpid()}:{stat.started if stat else ''}"


def pid_of(identity: str) -> int:
    """The process id in an identity."""
    return int(identity.split(":")[-2])


def is_dead(owner: str) -> bool:
    """The process of that identity lived where we live, and does so no more. False where that cannot be known."""
    place, _, rest = owner.rpartition(":")
    place, _, pid = place.rpartition(":")
    if place != _place() or not pid.isdigit() or not rest:
        return False
    stat = _stat(int(pid))
    return stat is None or stat.started != rest or stat.state in {"Z", "X"}


@cache
def _place() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = str((PROC / "self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        boot = namespace = ""
    return f"{platform.node()[:100]}:{boot}:{namespace}"


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return _Stat(fields[0], fields[19])


def resident_bytes(session_id: int) -> int:
    """Memory in use by all processes of a session; pages that they share count for each. 0 without `/proc`."""
    pages = 0
    for folder in PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[3]) == session_id:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE")
