"""Runs migrations against the configured database; each one in a transaction."""

from alembic import context

from app.core.db import engine
from app.tables import Base

with engine().connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
