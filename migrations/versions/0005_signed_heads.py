"""signed heads of the audit logs.

Revision: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'audit_log_heads',
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('envelope', sa.JSON(), nullable=False),
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_audit_log_heads_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_audit_log_heads'),
    )
    op.create_index('ix_audit_log_heads_tenant_id', 'audit_log_heads', ['tenant_id'])


def downgrade() -> None:
    op.drop_index('ix_audit_log_heads_tenant_id', table_name='audit_log_heads')
    op.drop_table('audit_log_heads')
