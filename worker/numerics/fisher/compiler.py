"""The machine's C++ compiler, which may not be there: torch can do without."""

import os
from shutil import which


class Uncompiled(Exception):
    """Nothing was compiled, and why."""


def require_compiler() -> None:
    """Make sure that there is one.

    Raises:
        Uncompiled: there is none.
    """
    compiler = os.environ.get("CXX", "g++")
    if which(compiler) is None:
        raise Uncompiled(f"no C++ compiler {compiler}")


def reason_of(error: Exception) -> str:
    """A compiler's complaint on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
