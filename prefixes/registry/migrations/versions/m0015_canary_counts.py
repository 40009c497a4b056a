"""Counts of canaries, which survive a restart."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("canaries", sa.Column("counts", sa.Text))
