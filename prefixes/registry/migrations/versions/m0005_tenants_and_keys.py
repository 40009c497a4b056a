"""Suspension and deletion of tenants, roles and expiry of keys, and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("tenants", sa.Column("suspended_at", _MOMENT))
    op.add_column("tenants", sa.Column("deleted_at", _MOMENT))
    _change_keys()
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
        keys.create_check_constraint(
            "ck_api_keys_operator", "(role = 'operator') = (tenant_id IS NULL)"
        )


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
    if op.get_bind().dialect.name == "sqlite":
        _protect_events_in_sqlite()
    else:
        _protect_events_in_postgresql()


def _protect_events_in_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_events_no_{change.lower()} BEFORE {change} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _protect_events_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION reject_change_of_audit_events() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON audit_events EXECUTE FUNCTION reject_change_of_audit_events()"
    )
