"""Leases of servers, and the jobs and deliveries that they hold.

What ran when the database was upgraded has no holder, so it is queued again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "server_leases",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_server_leases"),
    )
    for table in ("trainings", "batch_files"):
        op.add_column(table, sa.Column("holder", sa.String(32)))
        is_taken_over = sa.Column(
            "is_taken_over", sa.Boolean, nullable=False, server_default=sa.false()
        )
        op.add_column(table, is_taken_over)
        jobs = sa.table(table, sa.column("state", sa.String))
        op.execute(jobs.update().where(jobs.c.state == "running").values(state="queued"))
    op.add_column("webhook_deliveries", sa.Column("holder", sa.String(32)))
