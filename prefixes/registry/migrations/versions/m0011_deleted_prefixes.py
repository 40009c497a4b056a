"""Deleted versions and tasks that can be restored, and retention rules."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("prefixes", sa.Column("deleted_task", sa.String(64)))
    op.add_column("prefixes", sa.Column("deleted_at", _MOMENT))
    op.add_column("prefixes", sa.Column("keep_versions", sa.Integer))
    op.add_column("prefixes", sa.Column("keep_days", sa.Float))
    op.create_index("ix_prefixes_deleted_at", "prefixes", ["deleted_at"])
    op.create_table(
        "deleted_versions",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("task_type", sa.String(32), nullable=False),
        sa.Column("deleted_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "number", name="pk_deleted_versions"),
        sa.ForeignKeyConstraint(
            ["prefix_id"], ["prefixes.id"], name="fk_deleted_versions_prefix_id"
        ),
        sa.UniqueConstraint("prefix_id", "digest", name="uq_deleted_versions_prefix_id_digest"),
    )
    op.create_index("ix_deleted_versions_digest", "deleted_versions", ["digest"])
    op.create_index("ix_deleted_versions_deleted_at", "deleted_versions", ["deleted_at"])
