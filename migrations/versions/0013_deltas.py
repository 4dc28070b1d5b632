"""what each step of a version's training did.

Revision: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op


revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('model_versions', sa.Column('deltas_path', sa.Text(), nullable=True))
    op.add_column('model_versions', sa.Column('deltas_sha256', sa.String(length=64), nullable=True))
    op.add_column('model_versions', sa.Column('deltas_taken', sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column('model_versions', 'deltas_taken')
    op.drop_column('model_versions', 'deltas_sha256')
    op.drop_column('model_versions', 'deltas_path')
