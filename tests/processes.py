"""The processes that a test looks at from outside."""

from pathlib import Path


def children_of(process: int) -> list[int]:
    """The children of all its threads; a thread that ends while we look has none."""
    children: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children += map(int, task.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return children
