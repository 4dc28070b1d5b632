"""what the inputs of a data set are.

Revision: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('datasets', sa.Column('input_kind', sa.String(length=32), nullable=True))
    datasets = sa.table('datasets', sa.column('id'), sa.column('input_kind'), sa.column('input_shape', sa.JSON()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(datasets.c.id, datasets.c.input_shape)).all():
        kind = {3: 'images', 1: 'features'}.get(len(row.input_shape or []))
        connection.execute(datasets.update().where(datasets.c.id == row.id).values(input_kind=kind))


def downgrade() -> None:
    op.drop_column('datasets', 'input_kind')
