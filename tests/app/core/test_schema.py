"""The migrations make the tables of the code, and keep what is in them."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.core import schema
from app.core.db import engine, reading, transaction
from app.domain.lifecycle import JobKind
from app.jobs import service as jobs
from app.tables import Base, Job, Tenant
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
