"""Canaries of aliases, and their part of the history."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("alias_moves", sa.Column("percent", sa.Float))
    op.add_column("alias_moves", sa.Column("reason", sa.Text))
    op.create_table(
        "canaries",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("percent", sa.Float, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "alias", name="pk_canaries"),
        sa.ForeignKeyConstraint(
            ["prefix_id", "alias"],
            ["aliases.prefix_id", "aliases.name"],
            name="fk_canaries_prefix_id_aliases",
        ),
        sa.ForeignKeyConstraint(
            ["prefix_id", "version"],
            ["versions.prefix_id", "versions.number"],
            name="fk_canaries_prefix_id_versions",
        ),
    )
