"""Life cycles of tenants and keys, roles, limits, sharing, and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True)


def _limits() -> sa.Column[str]:
    return sa.Column("limits", sa.Text, nullable=False, server_default="{}")


def upgrade() -> None:
    op.add_column("tenants", sa.Column("suspended_at", _MOMENT))
    op.add_column("tenants", sa.Column("deleted_at", _MOMENT))
    op.add_column("tenants", sa.Column("weight", sa.Float, nullable=False, server_default="1"))
    op.add_column("tenants", _limits())
    op.add_column(
        "prefixes", sa.Column("is_public", sa.Boolean, nullable=False, server_default=sa.false())
    )
    _change_keys()
    _create_grants()
    _create_audit_events()


def _change_keys() -> None:
    # SQLite cannot change a column: the batch copies the table. Until now every key could do all
    # that its tenant can, which is what an `admin` may.
    with op.batch_alter_table("api_keys") as keys:
        keys.alter_column("tenant_id", existing_type=sa.Integer, nullable=True)
        keys.add_column(sa.Column("role", sa.String(16), nullable=False, server_default="admin"))
        keys.add_column(sa.Column("expires_at", _MOMENT))
        keys.add_column(sa.Column("last_used_at", _MOMENT))
        keys.add_column(sa.Column("replaced_by", sa.String(16)))
        keys.add_column(_limits())


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("prefix_id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Integer, nullable=False),
        sa.Column("granted_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("prefix_id", "tenant_id", name="pk_grants"),
        sa.ForeignKeyConstraint(["prefix_id"], ["prefixes.id"], name="fk_grants_prefix_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_grants_tenant_id"),
    )
    op.create_index("ix_grants_tenant_id", "grants", ["tenant_id"])


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("request_id", sa.Text),
        sa.Column("tenant", sa.String(64)),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_tenant_id", "audit_events", ["tenant", "id"])
