"""gold models that later audits take, keys of the references to persons.

Revision: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op


revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'gold_models',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('model_id', sa.String(length=64), nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('job_id', sa.String(length=64), nullable=False),
        sa.Column('weights_path', sa.Text(), nullable=False),
        sa.Column('weights_sha256', sa.String(length=64), nullable=False),
        sa.Column('weights_bytes', sa.BigInteger(), nullable=False),
        sa.Column('seconds', sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(['model_id'], ['models.id'], name='fk_gold_models_model_id'),
        sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name='fk_gold_models_job_id'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_gold_models_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_gold_models'),
    )
    op.create_index('ix_gold_models_tenant_id', 'gold_models', ['tenant_id'])
    op.create_index('ix_gold_models_model_id_digest', 'gold_models', ['model_id', 'digest'])
    op.create_table(
        'subject_keys',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('forget_request_id', sa.String(length=64), nullable=False),
        sa.Column('key', sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ['forget_request_id'], ['forget_requests.id'], name='fk_subject_keys_forget_request_id'
        ),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_subject_keys_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_subject_keys'),
        sa.UniqueConstraint('forget_request_id', name='uq_subject_keys_forget_request_id'),
    )
    op.create_index('ix_subject_keys_tenant_id', 'subject_keys', ['tenant_id'])


def downgrade() -> None:
    op.drop_table('subject_keys')
    op.drop_table('gold_models')
