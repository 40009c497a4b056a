"""Limits of tenants and of keys, and the CPU time of tenants' trainings."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "tenant_limits",
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_tenant_limits"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_tenant_limits_tenant_id"),
    )
    op.create_table(
        "key_limits",
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "name", name="pk_key_limits"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_key_limits_key_id"),
    )
    op.create_table(
        "training_cpu_time",
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "hour", name="pk_training_cpu_time"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_training_cpu_time_tenant_id"
        ),
    )
