"""requests that share a job, jobs that wait for a Fisher diagonal, requests that fan out, drift budgets.

Revision: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

INDICES = {
    'ix_jobs_batch_key': ('jobs', ['batch_key']),
    'ix_jobs_awaits_id': ('jobs', ['awaits_id']),
    'ix_forget_requests_job_id': ('forget_requests', ['job_id']),
    'ix_forget_requests_parent_id': ('forget_requests', ['parent_id']),
    'ix_forget_requests_result_version_id': ('forget_requests', ['result_version_id']),
    'ix_model_versions_parent_id': ('model_versions', ['parent_id']),
    'ix_tombstones_model_id_dataset_id_position': ('tombstones', ['model_id', 'dataset_id', 'position']),
}


def upgrade() -> None:
    op.add_column('jobs', sa.Column('batch_key', sa.String(length=64), nullable=True))
    op.add_column('jobs', sa.Column('awaits_id', sa.String(length=64), nullable=True))
    op.add_column('jobs', sa.Column('not_before', sa.DateTime(timezone=True), nullable=True))
    op.add_column('forget_requests', sa.Column('parent_id', sa.String(length=64), nullable=True))
    op.add_column('models', sa.Column('drift_budget', sa.JSON(), nullable=True))
    op.add_column('model_versions', sa.Column('drift', sa.JSON(), nullable=True))
    for name, (table, columns) in INDICES.items():
        op.create_index(name, table, columns)
    op.create_table(
        'fan_outs',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('dataset_id', sa.String(length=64), nullable=False),
        sa.Column('alias', sa.String(length=100), nullable=False),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('external_id', sa.String(length=200), nullable=True),
        sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('covered', sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name='fk_fan_outs_dataset_id'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_fan_outs_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_fan_outs'),
    )
    op.create_index('ix_fan_outs_tenant_id', 'fan_outs', ['tenant_id'])


def downgrade() -> None:
    op.drop_table('fan_outs')
    for name, (table, _) in INDICES.items():
        op.drop_index(name, table)
    op.drop_column('model_versions', 'drift')
    op.drop_column('models', 'drift_budget')
    op.drop_column('forget_requests', 'parent_id')
    for column in ('not_before', 'awaits_id', 'batch_key'):
        op.drop_column('jobs', column)
