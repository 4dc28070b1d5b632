"""ladders of methods.

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


# With a default, so that older requests have an empty ladder: their method alone.
def upgrade() -> None:
    op.add_column('forget_requests', sa.Column('ladder', sa.JSON(), server_default='[]', nullable=False))


def downgrade() -> None:
    op.drop_column('forget_requests', 'ladder')
