"""Audit events that replace others are rejected, in addition to updates and deletions."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # `INSERT OR REPLACE` deletes the old row without the trigger on deletion, unless the connection
    # has set `recursive_triggers`. Other programs need not set it.
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events "
            "WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )
