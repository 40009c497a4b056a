"""The key that started a training, and the CPU time of the trainings of each key."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("trainings", sa.Column("key_id", sa.String(16)))
    used = sa.Column("training_cpu_seconds", sa.Float, nullable=False, server_default="0")
    op.add_column("key_usage_hours", used)
