"""Recorded answers of tenants that opt in, and feedback on them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("prefixes", sa.Column("answers_deleted_at", _MOMENT))
    op.create_table(
        "feedback_settings",
        sa.Column("tenant_id", sa.Integer, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("retention_days", sa.Float, nullable=False),
        sa.Column("sample_percent", sa.Float, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "recorded_answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant_id", sa.Integer, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("prefix_id", sa.Integer, sa.ForeignKey("prefixes.id"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("answered_at", _MOMENT, nullable=False, index=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("content_key", sa.String(16)),
        sa.Column("num_bytes", sa.Integer, nullable=False),
        sa.Column("margin", sa.Float),
        sa.Column("other_version", sa.Integer),
        sa.Column("feedback", sa.LargeBinary),
        sa.Column("feedback_key", sa.String(16)),
        sa.Column("feedback_at", _MOMENT),
        sa.Column("is_contradicted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("is_reviewed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Index(
            "ix_recorded_answers_tenant_id_request_id_place", "tenant_id", "request_id", "place"
        ),
        sa.Index("ix_recorded_answers_prefix_id_margin", "prefix_id", "margin"),
    )
