"""policies of models, what was decided about requests, webhooks.

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
    op.create_table(
        'webhooks',
        sa.Column('url', sa.Text(), nullable=False),
        sa.Column('events', sa.JSON(), nullable=False),
        sa.Column('seen', sa.Integer(), nullable=False),
        sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('disabled_reason', sa.String(length=100), nullable=True),
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_webhooks_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_webhooks'),
    )
    op.create_index('ix_webhooks_tenant_id', 'webhooks', ['tenant_id'])
    op.create_table(
        'webhook_deliveries',
        sa.Column('webhook_id', sa.String(length=64), nullable=False),
        sa.Column('event', sa.String(length=64), nullable=False),
        sa.Column('resource', sa.String(length=64), nullable=False),
        sa.Column('body', sa.Text(), nullable=False),
        sa.Column('status', sa.String(length=32), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('answer', sa.String(length=32), nullable=True),
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_webhook_deliveries_tenant_id'),
        sa.ForeignKeyConstraint(['webhook_id'], ['webhooks.id'], name='fk_webhook_deliveries_webhook_id'),
        sa.PrimaryKeyConstraint('id', name='pk_webhook_deliveries'),
    )
    op.create_index(
        'ix_webhook_deliveries_status_next_attempt_at', 'webhook_deliveries', ['status', 'next_attempt_at']
    )
    op.create_index('ix_webhook_deliveries_tenant_id', 'webhook_deliveries', ['tenant_id'])
    op.create_index('ix_webhook_deliveries_webhook_id', 'webhook_deliveries', ['webhook_id'])


def downgrade() -> None:
    op.drop_table('webhook_deliveries')
    op.drop_table('webhooks')
    op.drop_column('forget_requests', 'decisions')
    op.drop_column('forget_requests', 'submitted_by')
    op.drop_column('forget_requests', 'policy')
    op.drop_column('models', 'policy_revision')
    op.drop_column('models', 'policy')
