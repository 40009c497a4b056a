"""Turns a current SQLite database back into one of an earlier revision."""

import sqlite3
from pathlib import Path
from typing import Final

_UNDO: Final = {
    "0004": ("DROP TABLE paired_store", "DROP TABLE deleted_blobs"),
    "0003": ("DROP TABLE trainings",),
    "0002": ("ALTER TABLE versions DROP COLUMN task_type",),
}
"""Statements that undo each revision, the newest revision first."""


def downgrade(path: Path, revision: str) -> None:
    """Undo every revision after the given one."""
    with sqlite3.connect(path) as connection:
        for undone, statements in _UNDO.items():
            if undone > revision:
                for statement in statements:
                    connection.execute(statement)
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
