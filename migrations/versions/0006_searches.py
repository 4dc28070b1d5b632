"""searches of hyper-parameters, and their trials.

Revision: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'searches',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('model_id', sa.String(length=64), nullable=False),
        sa.Column('dataset_id', sa.String(length=64), nullable=False),
        sa.Column('base_version_id', sa.String(length=64), nullable=False),
        sa.Column('alias', sa.String(length=100), nullable=True),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('target', sa.JSON(), nullable=False),
        sa.Column('positions', sa.JSON(), nullable=False),
        sa.Column('sample_count', sa.Integer(), nullable=False),
        sa.Column('candidates', sa.JSON(), nullable=False),
        sa.Column('trials', sa.Integer(), nullable=False),
        sa.Column('validation', sa.JSON(), nullable=False),
        sa.Column('objective', sa.String(length=32), nullable=False),
        sa.Column('seed', sa.Integer(), nullable=False),
        sa.Column('data_sha256', sa.String(length=64), nullable=True),
        sa.Column('job_id', sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(['base_version_id'], ['model_versions.id'], name='fk_searches_base_version_id'),
        sa.ForeignKeyConstraint(['dataset_id'], ['datasets.id'], name='fk_searches_dataset_id'),
        sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name='fk_searches_job_id'),
        sa.ForeignKeyConstraint(['model_id'], ['models.id'], name='fk_searches_model_id'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_searches_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_searches'),
    )
    op.create_index('ix_searches_model_id', 'searches', ['model_id'])
    op.create_index('ix_searches_tenant_id', 'searches', ['tenant_id'])
    op.create_table(
        'search_trials',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('tenant_id', sa.String(length=64), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('search_id', sa.String(length=64), nullable=False),
        sa.Column('number', sa.Integer(), nullable=False),
        sa.Column('candidate', sa.Integer(), nullable=False),
        sa.Column('method', sa.JSON(), nullable=False),
        sa.Column('searched', sa.JSON(), nullable=True),
        sa.Column('value', sa.Double(), nullable=True),
        sa.Column('parts', sa.JSON(), nullable=False),
        sa.Column('code', sa.String(length=100), nullable=True),
        sa.Column('detail', sa.Text(), nullable=True),
        sa.Column('seconds', sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(['search_id'], ['searches.id'], name='fk_search_trials_search_id'),
        sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name='fk_search_trials_tenant_id'),
        sa.PrimaryKeyConstraint('id', name='pk_search_trials'),
        sa.UniqueConstraint('search_id', 'number', name='uq_search_trials_search_id_number'),
    )
    op.create_index('ix_search_trials_search_id', 'search_trials', ['search_id'])
    op.create_index('ix_search_trials_tenant_id', 'search_trials', ['tenant_id'])


def downgrade() -> None:
    op.drop_table('search_trials')
    op.drop_table('searches')
