"""The migrations make the tables of the code, and keep what is in them."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text

from app.core import schema
from app.core.db import engine, reading, transaction
from app.datasets import index
from app.datasets.index import Located
from app.domain.lifecycle import DatasetStatus, JobKind
from app.jobs import service as jobs
from app.tables import Base, Dataset, Job, Tenant
from tests.conftest import Home


def test_the_migrations_make_the_tables_of_the_code(database: Home) -> None:  # noqa: ARG001 - it is compared
    with engine().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_version_is_known_while_somebody_writes(database: Home) -> None:  # noqa: ARG001
    with transaction() as writing, ThreadPoolExecutor(1) as another:
        writing.execute(text("SELECT 1"))
        assert another.submit(schema.is_current).result(5)


def test_a_database_with_jobs_goes_back_one_migration_and_forth(database: Home, tenant: Tenant) -> None:  # noqa: ARG001
    with transaction() as session:
        job = jobs.enqueue(session, tenant_id=tenant.id, kind=JobKind.FISHER, subject_id="mv_1", actor="key_1")
    command.downgrade(schema._config(), "0001")
    assert not schema.is_current()
    schema.upgrade()
    with reading() as session:
        row = session.get_one(Job, job.id)
        assert (row.subject_id, row.whole_id, row.shards) == ("mv_1", None, None)
        assert len(jobs.events_after(session, job.id, limit=10)) == 1


def test_data_sets_from_before_are_told_apart_by_the_shape_of_their_inputs(database: Home, tenant: Tenant) -> None:  # noqa: ARG001
    shapes = {"images": [1, 8, 8], "features": [64], None: None}
    with transaction() as session:
        for name, shape in shapes.items():
            session.add(
                Dataset(
                    id=f"ds_{name}", tenant_id=tenant.id, name=f"set-{name}", path="/d", columns={}, classes=2,
                    status=DatasetStatus.VALIDATING, input_shape=shape,
                )
            )  # fmt: skip
    command.downgrade(schema._config(), "0006")
    schema.upgrade()
    with reading() as session:
        found = {row.id: row.input_kind for row in session.scalars(select(Dataset))}
    assert found == {"ds_images": "images", "ds_features": "features", "ds_None": None}


def test_indexes_from_before_are_rewritten(database: Home, tenant: Tenant) -> None:
    rows = [(0, "b", 1, "train", None), (1, "a", 0, "test", "anna")]
    names = ("position", "sample_id", "label", "split", "subject_id")
    old = database.path / "index.parquet"
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), old)
    with transaction() as session:
        session.add(
            Dataset(
                id="ds_1", tenant_id=tenant.id, name="old", path="/d", columns={}, classes=2,
                status=DatasetStatus.READY, index_path=str(old),
            )
        )  # fmt: skip
    command.downgrade(schema._config(), "0011")
    schema.upgrade()
    with reading() as session:
        path = Path(session.get_one(Dataset, "ds_1").index_path or "")
    index.write(database.path / "new.sqlite", rows)
    assert index.positions_of(path, ["a", "b", "c"]) == [Located(1, "test", 0), Located(0, "train", 1), None]
    assert _statements(path) == _statements(database.path / "new.sqlite")


def _statements(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
