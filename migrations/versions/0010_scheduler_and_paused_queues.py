"""leases of duties, notices of deadlines, starts that do not count, queues that are paused.

Revision: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'leases',
        sa.Column('name', sa.String(length=64), nullable=False),
        sa.Column('owner', sa.String(length=200), nullable=False),
        sa.Column('fence', sa.Integer(), nullable=False),
        sa.Column('lease_until', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('name', name='pk_leases'),
    )
    op.create_table(
        'deadline_notices',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('forget_request_id', sa.String(length=64), nullable=False),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('days', sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ['forget_request_id'], ['forget_requests.id'], name='fk_deadline_notices_forget_request_id'
        ),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_deadline_notices_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_deadline_notices'),
        sa.UniqueConstraint('forget_request_id', 'due_at', 'days', name='uq_deadline_notices_forget_request_id_due_at_days'),
    )
    op.create_index('ix_deadline_notices_tenant_id', 'deadline_notices', ['tenant_id'])
    op.create_index('ix_outbox_job_id', 'outbox', ['job_id'])
    op.create_index('ix_jobs_exclusive_model_id_status', 'jobs', ['exclusive_model_id', 'status'])
    op.add_column('jobs', sa.Column('excused', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('models', sa.Column('queue_paused_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('models', 'queue_paused_at')
    op.drop_column('jobs', 'excused')
    op.drop_index('ix_jobs_exclusive_model_id_status', 'jobs')
    op.drop_index('ix_outbox_job_id', 'outbox')
    op.drop_table('deadline_notices')
    op.drop_table('leases')
