"""The migrations make the tables of the code, and keep what is in them."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select

from app.core import schema
from app.core.db import engine, reading, transaction
from app.domain.lifecycle import DatasetStatus, JobKind
from app.jobs import service as jobs
from app.tables import Base, Dataset, Job, Tenant
from tests.conftest import Home


def test_the_migrations_make_the_tables_of_the_code(database: Home) -> None:  # noqa: ARG001 - it is compared
    with engine().connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


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
