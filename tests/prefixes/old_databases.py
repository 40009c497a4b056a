"""Databases of earlier versions: a store of 0.1.0, and current databases turned back."""

import shutil
import sqlite3
from pathlib import Path
from typing import Final

_UNDO: Final = {
    "0023": (
        "ALTER TABLE trainings DROP COLUMN key_id",
        "ALTER TABLE key_usage_hours DROP COLUMN training_cpu_seconds",
    ),
    "0022": ("DROP TABLE registry_state",),
    "0021": ("DROP TABLE key_usage_hours",),
    "0020": (
        "DROP TABLE server_leases",
        "ALTER TABLE trainings DROP COLUMN holder",
        "ALTER TABLE trainings DROP COLUMN is_taken_over",
        "ALTER TABLE batch_files DROP COLUMN holder",
        "ALTER TABLE batch_files DROP COLUMN is_taken_over",
        "ALTER TABLE webhook_deliveries DROP COLUMN holder",
    ),
    "0019": ("DROP TABLE batch_files",),
    "0018": (
        "ALTER TABLE aliases DROP COLUMN rules",
        "ALTER TABLE aliases DROP COLUMN rules_revision",
        "ALTER TABLE alias_moves DROP COLUMN from_rules",
    ),
    "0017": ("DROP TABLE answer_hours",),
    "0016": (
        "DROP TABLE recorded_answers",
        "DROP TABLE feedback_settings",
        "ALTER TABLE prefixes DROP COLUMN answers_deleted_at",
    ),
    "0015": ("ALTER TABLE canaries DROP COLUMN counts",),
    "0014": ("DROP TABLE webhook_deliveries", "DROP TABLE webhooks"),
    "0013": tuple(
        f"ALTER TABLE canaries DROP COLUMN {name}"
        for name in (
            "shadow_percent",
            "max_error_percent",
            "max_disagreement_percent",
            "min_samples",
        )
    ),
    "0012": ("DROP TABLE usage_hours",),
    "0011": (
        "DROP TABLE deleted_versions",
        "DROP INDEX ix_prefixes_deleted_at",
        "ALTER TABLE prefixes DROP COLUMN deleted_at",
        "ALTER TABLE prefixes DROP COLUMN deleted_task",
        "ALTER TABLE prefixes DROP COLUMN keep_versions",
        "ALTER TABLE prefixes DROP COLUMN keep_days",
    ),
    "0010": ("DROP TABLE idempotency_keys",),
    "0009": (
        "DROP TABLE canaries",
        "ALTER TABLE alias_moves DROP COLUMN percent",
        "ALTER TABLE alias_moves DROP COLUMN reason",
    ),
    "0008": (
        "DROP TABLE tenant_limits",
        "DROP TABLE key_limits",
        "DROP TABLE training_cpu_time",
    ),
    "0007": ("DROP TRIGGER audit_events_no_replace",),
    "0006": ("DROP TABLE grants", "ALTER TABLE prefixes DROP COLUMN is_public"),
    "0005": (
        "DROP TABLE audit_events",
        "ALTER TABLE tenants DROP COLUMN suspended_at",
        "ALTER TABLE tenants DROP COLUMN deleted_at",
        "DROP TABLE api_keys",
        (
            "CREATE TABLE api_keys (id VARCHAR(16) PRIMARY KEY, "
            "tenant_id INTEGER NOT NULL REFERENCES tenants (id), "
            "secret_sha256 VARCHAR(64) NOT NULL, label TEXT NOT NULL, "
            "created_at DATETIME NOT NULL, revoked_at DATETIME)"
        ),
        "CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id)",
    ),
    "0004": ("DROP TABLE paired_store", "DROP TABLE deleted_blobs"),
    "0003": ("DROP TABLE trainings",),
    "0002": ("ALTER TABLE versions DROP COLUMN task_type",),
}
"""Statements that undo each revision, the newest revision first."""

KEYS_0_1_0: Final = {
    "acme": "pp_00875774cbf1_eyrT59nniOMHXPJ69h67GHS_ZQ61bzGLnrAenCUCu0g",
    "globex": "pp_bcefccd2d847_VbCvJ4eZQsDgwhZ5A0KVX0FAYJyAo_Sf9fQpdeeMHPk",
}
"""The valid keys of the store of 0.1.0, by tenant."""

_STORE_0_1_0: Final = Path(__file__).parents[1] / "data" / "store_0_1_0"


def copy_store_0_1_0(folder: Path) -> None:
    """Make a folder with the files and the database that version 0.1.0 wrote."""
    shutil.copytree(_STORE_0_1_0, folder)
    connection = sqlite3.connect(folder / "registry.db")
    connection.executescript((folder / "registry.sql").read_text())
    connection.close()


def downgrade(path: Path, revision: str) -> None:
    """Undo every revision after the given one."""
    with sqlite3.connect(path) as connection:
        for undone, statements in _UNDO.items():
            if undone > revision:
                for statement in statements:
                    connection.execute(statement)
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
