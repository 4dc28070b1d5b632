"""what a submission pays for: fewer indexes on tombstones, one more on forget requests, data sets indexed by SQLite.

Revision: 0012
Revises: 0011
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import op


revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

FORGOTTEN = sa.text('forgotten_at IS NOT NULL')


def upgrade() -> None:
    op.drop_index('ix_tombstones_tenant_id', 'tombstones')
    op.drop_index('ix_tombstones_dataset_id_forgotten_at', 'tombstones')
    op.create_index(
        'ix_tombstones_forgotten', 'tombstones', ['dataset_id', 'position'],
        sqlite_where=FORGOTTEN, postgresql_where=FORGOTTEN,
    )
    op.create_index('ix_forget_requests_dataset_id', 'forget_requests', ['dataset_id'])
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, index_path FROM datasets WHERE index_path LIKE '%.parquet'")).all()
    for dataset_id, path in rows:
        values = {'path': str(_rewritten(Path(path))), 'id': dataset_id}
        connection.execute(sa.text('UPDATE datasets SET index_path = :path WHERE id = :id'), values)


def _rewritten(old: Path) -> Path:
    """The same index as an SQLite file, beside the Parquet file; needs what the worker has, where there is one."""
    import pyarrow.parquet as pq

    names = ['position', 'sample_id', 'label', 'split', 'subject_id']
    new = old.with_suffix('.sqlite')
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new)) as connection:
        connection.execute(
            'CREATE TABLE samples (position INTEGER PRIMARY KEY, sample_id TEXT NOT NULL,'
            ' label INTEGER NOT NULL, split TEXT NOT NULL, subject_id TEXT)'
        )
        for batch in pq.read_table(old, columns=names).to_batches(max_chunksize=4096):
            lists = [batch[name].to_pylist() for name in names]
            connection.executemany('INSERT INTO samples VALUES (?, ?, ?, ?, ?)', zip(*lists, strict=True))
        connection.execute('CREATE UNIQUE INDEX by_sample ON samples (sample_id)')
        connection.execute(
            'CREATE INDEX by_subject ON samples (subject_id, split) WHERE subject_id IS NOT NULL'
        )
        connection.commit()
    return new


def downgrade() -> None:
    op.drop_index('ix_forget_requests_dataset_id', 'forget_requests')
    op.drop_index('ix_tombstones_forgotten', 'tombstones')
    op.create_index('ix_tombstones_dataset_id_forgotten_at', 'tombstones', ['dataset_id', 'forgotten_at'])
    op.create_index('ix_tombstones_tenant_id', 'tombstones', ['tenant_id'])
