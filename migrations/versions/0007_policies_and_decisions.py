"""policies of models, and what was decided about requests.

Revision: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


# Older models and requests have no policy, which is the default one, and nothing was decided about them.
def upgrade() -> None:
    op.add_column('models', sa.Column('policy', sa.JSON(), nullable=True))
    op.add_column('models', sa.Column('policy_revision', sa.Integer(), server_default='0', nullable=False))
    op.add_column('forget_requests', sa.Column('policy', sa.JSON(), nullable=True))
    op.add_column('forget_requests', sa.Column('submitted_by', sa.String(length=64), nullable=True))
    op.add_column('forget_requests', sa.Column('decisions', sa.JSON(), server_default='[]', nullable=False))


def downgrade() -> None:
    op.drop_column('forget_requests', 'decisions')
    op.drop_column('forget_requests', 'submitted_by')
    op.drop_column('forget_requests', 'policy')
    op.drop_column('models', 'policy_revision')
    op.drop_column('models', 'policy')
