"""Statistics of texts and answers, by version and hour."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "answer_hours",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("task", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("statistics", sa.Text, nullable=False),
        sa.Column("is_reported", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("hour", "tenant", "task", "digest", name="pk_answer_hours"),
    )
    op.create_index(
        "ix_answer_hours_tenant_task_digest_hour",
        "answer_hours",
        ["tenant", "task", "digest", "hour"],
    )
