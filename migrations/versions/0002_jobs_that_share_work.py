"""jobs that share work.

Revision: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


# Nullable columns without constraints: SQLite adds and drops them in place, so no row of another table is touched.
def upgrade() -> None:
    op.add_column('jobs', sa.Column('whole_id', sa.String(length=64), nullable=True))
    op.add_column('jobs', sa.Column('shard', sa.Integer(), nullable=True))
    op.add_column('jobs', sa.Column('shards', sa.Integer(), nullable=True))
    op.add_column('jobs', sa.Column('shard_sha256', sa.String(length=64), nullable=True))
    op.create_index('ix_jobs_whole_id', 'jobs', ['whole_id'])


def downgrade() -> None:
    op.drop_index('ix_jobs_whole_id', table_name='jobs')
    for column in ('shard_sha256', 'shards', 'shard', 'whole_id'):
        op.drop_column('jobs', column)
