"""AliasHandle: what an alias, its canary and its rules share, and the history of all three."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from prefixes.registry.alias_values import MoveKind
from prefixes.registry.audit import Action, record
from prefixes.registry.changes import PrefixRow
from prefixes.registry.tables import alias_moves, now
from prefixes.registry.values import Actor


class AliasHandle:
    """One alias of a task, valid during one transaction."""

    def __init__(self, connection: Connection, row: PrefixRow, alias: str) -> None:
        self._connection = connection
        self._row = row
        self._alias = alias

    def __str__(self) -> str:
        return f"{self._row}:{self._alias}"

    def _add_move(
        self,
        kind: MoveKind,
        before: int | None,
        to: int,
        by: Actor,
        *,
        percent: float | None = None,
        reason: str | None = None,
        from_rules: str | None = None,
    ) -> int:
        """Add a row to the history of the alias, and return its id, which grows.

        Args:
            kind: what happened.
            before: the version that the callers concerned got before; None for a new alias.
            to: the version that they get now.
            by: who did it.
            percent: the share of callers of a canary.
            reason: why the server itself did it.
            from_rules: the rules that the alias had before.
        """
        added = insert(alias_moves).values(
            prefix_id=self._row.id,
            alias=self._alias,
            kind=kind,
            from_version=before,
            to_version=to,
            moved_at=now(),
            moved_by=by.name,
            percent=percent,
            reason=reason,
            from_rules=from_rules,
        )
        query = added.returning(alias_moves.c.id)
        added_id: int = self._connection.execute(query).scalar_one()
        return added_id

    def _audit(
        self,
        action: Action,
        by: Actor,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        """Add a row to the audit log of the tenant."""
        tenant = self._row.tenant
        record(self._connection, by, action, self, tenant=tenant, before=before, after=after)
