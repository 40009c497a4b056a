"""Sharing of tasks: with everyone, or with named tenants."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    is_public = sa.Column("is_public", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("prefixes", is_public)
    op.create_table(
        "grants",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("reader", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "reader", name="pk_grants"),
        sa.ForeignKeyConstraint(["prefix_id"], ["prefixes.id"], name="fk_grants_prefix_id"),
    )
