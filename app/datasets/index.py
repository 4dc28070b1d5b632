"""The index of a data set, an SQLite file: which row a sample is, which rows a class or a person has.

Ids are found by a tree, not by reading all of them: as fast in a million as in a thousand. Written once, by the
validation job; read by the API, which has no Arrow, and by the worker.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = tuple[int, str, int, str, str | None]
"""Position in the manifest, sample id, label, split, subject id."""


class DuplicateIds(ValueError):
    """Some sample ids stand there more than once; `count` rows repeat an earlier one's."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} rows repeat the sample id of an earlier row")
        self.count = count


@dataclass(frozen=True)
class Located:
    """Where a sample is."""

    position: int
    split: str
    label: int


def write(path: Path, rows: Iterable[Row]) -> None:
    """A new index.

    Raises:
        DuplicateIds: nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of an attempt that was killed
    try:
        with closing(sqlite3.connect(path)) as connection:
            _fill(connection, rows)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def positions_of(path: Path, sample_ids: Sequence[str]) -> list[Located | None]:
    """Where these samples are, in the order asked; None for one that the data set does not have."""
    query = """
        SELECT position, split, label
        FROM json_each(:asked) AS asked LEFT JOIN samples ON sample_id = value ORDER BY asked.key
    """
    found = _ask(path, query, asked=sample_ids)
    return [None if position is None else Located(position, split, label) for position, split, label in found]


def positions_where(
    path: Path, *, split: str = "train", label: int | None = None, subject_ids: Sequence[str] | None = None
) -> list[int]:
    """The positions of a split, ascending; only of one label or of some subjects, where they are given."""
    if subject_ids is None:
        query = """
            SELECT position FROM samples
            WHERE split = :split AND (:label IS NULL OR label = :label) ORDER BY position
        """
    else:
        query = """
            SELECT position FROM samples
            WHERE subject_id IN (SELECT value FROM json_each(:asked))
              AND split = :split AND (:label IS NULL OR label = :label) ORDER BY position
        """
    return [position for (position,) in _ask(path, query, split=split, label=label, asked=subject_ids or [])]


def without_samples(path: Path, subject_ids: Sequence[str], *, split: str = "train") -> list[int]:
    """Which of these subjects, by their place in the list, have no sample in the split."""
    query = """
        SELECT asked.key FROM json_each(:asked) AS asked
        WHERE NOT EXISTS (SELECT 1 FROM samples WHERE subject_id = value AND split = :split) ORDER BY asked.key
    """
    return [place for (place,) in _ask(path, query, asked=subject_ids, split=split)]


def ids_at(path: Path, positions: Sequence[int]) -> list[str]:
    """The sample ids at these positions, in the order asked."""
    query = """
        SELECT sample_id FROM json_each(:asked) AS asked JOIN samples ON position = value ORDER BY asked.key
    """
    return [sample_id for (sample_id,) in _ask(path, query, asked=positions)]


def columns(path: Path) -> tuple[list[int], list[int], list[str]]:
    """Positions, labels and splits of all samples, by position."""
    rows = _ask(path, "SELECT position, label, split FROM samples ORDER BY position")
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _fill(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # a file that was not finished is not used
    connection.execute(
        "CREATE TABLE samples (position INTEGER PRIMARY KEY, sample_id TEXT NOT NULL,"
        " label INTEGER NOT NULL, split TEXT NOT NULL, subject_id TEXT)"
    )
    connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)
    ((repeated,),) = connection.execute("SELECT count(*) - count(DISTINCT sample_id) FROM samples")
    if repeated:
        raise DuplicateIds(repeated)
    connection.execute("CREATE UNIQUE INDEX by_sample ON samples (sample_id)")
    connection.execute("CREATE INDEX by_subject ON samples (subject_id, split) WHERE subject_id IS NOT NULL")
    connection.commit()


def _ask(path: Path, query: str, *, asked: Sequence[Any] = (), **parameters: Any) -> list[tuple[Any, ...]]:
    with _reading(path) as connection:
        return connection.execute(query, {"asked": json.dumps(list(asked)), **parameters}).fetchall()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield connection
