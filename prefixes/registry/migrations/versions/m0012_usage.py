"""The usage of each tenant, by task and hour."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "usage_hours",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("task", sa.String(129), nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("texts", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("device_seconds", sa.Float, nullable=False),
        sa.Column("training_cpu_seconds", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("hour", "tenant", "task", name="pk_usage_hours"),
    )
    op.create_index("ix_usage_hours_tenant_hour", "usage_hours", ["tenant", "hour"])
