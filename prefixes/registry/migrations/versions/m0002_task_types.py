"""The task type of each version in its own column, so that lists need not read descriptions."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_FIRST_TYPE = "sequence_classification"
"""The only task type before descriptions named theirs."""


def upgrade() -> None:
    op.add_column(
        "versions",
        sa.Column("task_type", sa.String(32), nullable=False, server_default=_FIRST_TYPE),
    )
    versions = sa.table("versions", sa.column("digest"), sa.column("spec"), sa.column("task_type"))
    connection = op.get_bind()
    for digest, spec in connection.execute(sa.select(versions.c.digest, versions.c.spec)).all():
        task_type = json.loads(spec).get("task_type", _FIRST_TYPE)
        if task_type != _FIRST_TYPE:
            same = versions.c.digest == digest
            connection.execute(sa.update(versions).where(same).values(task_type=task_type))
