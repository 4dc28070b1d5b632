"""Look-ups in the index of a data set: which row a sample is, which rows a class or a subject has."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from app.tables import Dataset


@dataclass(frozen=True)
class Located:
    """Where a sample is."""

    position: int
    split: str
    label: int


def positions_of(dataset: Dataset, sample_ids: Sequence[str]) -> list[Located | None]:
    """Where these samples are, in the order asked; None for one that the data set does not have."""
    found = _rows(
        """
        WITH asked AS (SELECT unnest(CAST($ids AS VARCHAR[])) AS sample_id, unnest(range($count)) AS place)
        SELECT found.position, found.split, found.label
        FROM asked LEFT JOIN read_parquet($index) AS found USING (sample_id)
        ORDER BY asked.place
        """,
        {"ids": list(sample_ids), "count": len(sample_ids), "index": dataset.index_path},
    )
    return [None if position is None else Located(position, split, label) for position, split, label in found]


def positions_where(
    dataset: Dataset, *, split: str = "train", label: int | None = None, subject_ids: Sequence[str] | None = None
) -> list[int]:
    """The positions of a split, ascending; only of one label or of some subjects, where they are given."""
    found = _rows(
        """
        SELECT position FROM read_parquet($index)
        WHERE split = $split
          AND ($label IS NULL OR label = $label)
          AND ($subjects IS NULL OR subject_id IN (SELECT unnest(CAST($subjects AS VARCHAR[]))))
        ORDER BY position
        """,
        {
            "index": dataset.index_path,
            "split": split,
            "label": label,
            "subjects": None if subject_ids is None else list(subject_ids),
        },
    )
    return [position for (position,) in found]


def without_samples(dataset: Dataset, subject_ids: Sequence[str], *, split: str = "train") -> list[int]:
    """Which of these subjects, by their place in the list, have no sample in the split."""
    found = _rows(
        """
        WITH asked AS (SELECT unnest(CAST($ids AS VARCHAR[])) AS subject_id, unnest(range($count)) AS place)
        SELECT place FROM asked
        WHERE subject_id NOT IN (
            SELECT subject_id FROM read_parquet($index) WHERE split = $split AND subject_id IS NOT NULL
        )
        ORDER BY place
        """,
        {"ids": list(subject_ids), "count": len(subject_ids), "index": dataset.index_path, "split": split},
    )
    return [place for (place,) in found]


def without_counterpart(dataset: Dataset, positions: Sequence[int], pairs: Dataset) -> int:
    """How many of the samples at these positions have no sample of the same id in another data set."""
    ((count,),) = _rows(
        """
        SELECT count(*) FROM read_parquet($index)
        WHERE position IN (SELECT unnest(CAST($positions AS BIGINT[])))
          AND sample_id NOT IN (SELECT sample_id FROM read_parquet($pairs))
        """,
        {"index": dataset.index_path, "positions": list(positions), "pairs": pairs.index_path},
    )
    return int(count)


def _rows(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with _database().cursor() as cursor:
        rows: list[tuple[Any, ...]] = cursor.execute(query, parameters).fetchall()
    return rows


@cache  # an empty database: to make one takes four times as long as to look a hundred ids up
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 2, "enable_external_file_cache": False})
