"""signing keys with their validity; audit reports that no forget request asked for.

Revision: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'signing_keys',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('public_key', sa.String(length=64), nullable=False),
        sa.Column('not_before', sa.DateTime(timezone=True), nullable=False),
        sa.Column('retired_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('not_after', sa.DateTime(timezone=True), nullable=True),
        sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('revocation_reason', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_signing_keys'),
    )
    # No other table refers to the reports, so that SQLite may copy theirs.
    with op.batch_alter_table('audit_reports') as table:
        table.alter_column('forget_request_id', existing_type=sa.String(length=64), nullable=True)
        table.alter_column('job_id', existing_type=sa.String(length=64), nullable=True)
        table.alter_column('verdict', existing_type=sa.String(length=16), nullable=True)
        table.alter_column('body', existing_type=sa.JSON(), nullable=True)
        table.alter_column('envelope', existing_type=sa.JSON(), nullable=True)
        table.add_column(sa.Column('status', sa.String(length=32), nullable=False, server_default='completed'))
        table.add_column(sa.Column('status_reason', sa.String(length=100), nullable=True))
        table.add_column(sa.Column('status_detail', sa.Text(), nullable=True))
        table.add_column(sa.Column('asked', sa.JSON(), nullable=True))
    with op.batch_alter_table('audit_reports') as table:
        table.alter_column('status', existing_type=sa.String(length=32), server_default=None)


def downgrade() -> None:
    op.execute('DELETE FROM audit_reports WHERE forget_request_id IS NULL')
    with op.batch_alter_table('audit_reports') as table:
        for column in ('asked', 'status_detail', 'status_reason', 'status'):
            table.drop_column(column)
        table.alter_column('envelope', existing_type=sa.JSON(), nullable=False)
        table.alter_column('body', existing_type=sa.JSON(), nullable=False)
        table.alter_column('verdict', existing_type=sa.String(length=16), nullable=False)
        table.alter_column('job_id', existing_type=sa.String(length=64), nullable=False)
        table.alter_column('forget_request_id', existing_type=sa.String(length=64), nullable=False)
    op.drop_table('signing_keys')
