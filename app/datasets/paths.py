"""Files of the operator: only below the configured folders, after every symbolic link is followed."""

from pathlib import Path

from app.core.errors import Invalid, invalid_field
from app.core.settings import get_settings


def permitted(text: str, *, pointer: str) -> Path:
    """The resolved path, which exists. Ask again before reading: a link may have been changed since.

    Raises:
        Invalid: it is not absolute, not below a configured folder, or not there.
    """
    path = Path(text)
    if not path.is_absolute():
        raise _refused(pointer)
    try:
        resolved = path.resolve()
        below = any(resolved.is_relative_to(prefix.resolve()) for prefix in get_settings().data_prefixes)
        found = below and resolved.exists()
    except (OSError, RuntimeError):  # a name that is too long, a loop of links
        raise _refused(pointer) from None
    if not below:
        raise _refused(pointer)
    if not found:
        raise invalid_field(pointer, "There is nothing at this path.", code="path_not_found")
    return resolved


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files at a path, in the order in which their rows are counted."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _refused(pointer: str) -> Invalid:
    return invalid_field(
        pointer,
        "The path must be absolute and lie below one of the folders in UNLEARN_DATA_PREFIXES.",
        code="path_not_allowed",
    )
