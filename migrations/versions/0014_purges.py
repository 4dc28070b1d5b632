"""versions and gold models whose files are destroyed.

Revision: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op


revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('model_versions', sa.Column('purge_decisions', sa.JSON(), server_default='[]', nullable=False))
    op.add_column('model_versions', sa.Column('destroyed_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('gold_models', sa.Column('purged_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('gold_models', 'purged_at')
    op.drop_column('model_versions', 'destroyed_at')
    op.drop_column('model_versions', 'purge_decisions')
