"""Rules of aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("aliases", sa.Column("rules", sa.Text))
    op.add_column("aliases", sa.Column("rules_revision", sa.Integer))
    op.add_column("alias_moves", sa.Column("from_rules", sa.Text))
