"""The history of aliases: one row for each move, and for each change of a canary or of rules."""

from sqlalchemy import Connection, insert

from prefixes.registry.changes import PrefixRow
from prefixes.registry.tables import alias_moves, now
from prefixes.registry.values import Actor, MoveKind


def add_move(
    connection: Connection,
    row: PrefixRow,
    alias: str,
    kind: MoveKind,
    *,
    before: int | None,
    to: int,
    by: Actor,
    percent: float | None = None,
    reason: str | None = None,
    from_rules: str | None = None,
) -> int:
    """Add a row to the history of an alias, and return its id, which grows.

    Args:
        connection: the transaction of the move.
        row: the task.
        alias: the name of the alias.
        kind: what happened.
        before: the version that the callers concerned got before; None for a new alias.
        to: the version that they get now.
        by: who did it.
        percent: the share of callers of a canary.
        reason: why the server itself did it.
        from_rules: the rules that the alias had before.
    """
    added = insert(alias_moves).values(
        prefix_id=row.id,
        alias=alias,
        kind=kind,
        from_version=before,
        to_version=to,
        moved_at=now(),
        moved_by=by.name,
        percent=percent,
        reason=reason,
        from_rules=from_rules,
    )
    added_id: int = connection.execute(added.returning(alias_moves.c.id)).scalar_one()
    return added_id
