"""The rows of canaries: reading, writing and ending one within a transaction."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, update

from prefixes.registry.alias_history import add_move
from prefixes.registry.audit import Action, record
from prefixes.registry.canary_columns import CANARIES, canary_of
from prefixes.registry.changes import PrefixRow
from prefixes.registry.outbox import emit
from prefixes.registry.tables import canaries, now
from prefixes.registry.values import Actor, Canary, CanaryPlan, MoveKind


class CanaryPointer:
    """The canary of one alias, valid during one write transaction."""

    def __init__(self, connection: Connection, row: PrefixRow, alias: str) -> None:
        self._connection = connection
        self._row = row
        self._alias = alias

    def __str__(self) -> str:
        return f"{self._row}:{self._alias}"

    def find(self) -> Canary | None:
        """Read the canary; None if the alias has none."""
        found = self._connection.execute(CANARIES.where(self._here)).one_or_none()
        return None if found is None else canary_of(found[1:])

    def set(self, plan: CanaryPlan, *, stable: int, by: Actor) -> None:
        """Start a canary, replace it, or change its share. Without a change, nothing happens."""
        current = self.find()
        if current is not None and current.plan == plan:
            return
        revision = self._note("canary", stable, plan.version, by, percent=plan.percent)
        values = {**asdict(plan), "revision": revision}
        if current is None or current.plan.version != plan.version:
            values |= {"started_at": now(), "started_by": by.name, "counts": None}
        if current is None:
            here = {"prefix_id": self._row.id, "alias": self._alias}
            self._connection.execute(insert(canaries).values(**here, **values))
        else:
            self._connection.execute(update(canaries).where(self._here).values(**values))
        self._audit("canary.set", by, current, asdict(plan))

    def end_with_move(self, before: int | None, to: int, *, by: Actor) -> None:
        """End the canary because its alias moves: it was compared with the version before."""
        canary = self.find()
        if canary is None or before is None:
            return
        if canary.plan.version == to:  # the move itself says that the canary was promoted
            self._remove()
        else:
            self.cancel(canary, stable=before, by=by, reason="The alias was moved.")

    def roll_back(self, canary: Canary, *, stable: int, by: Actor, reason: str) -> None:
        """End the canary because it exceeds one of its bounds."""
        self._remove()
        self._note("canary_rollback", canary.plan.version, stable, by, reason=reason)
        self._audit("canary.rollback", by, canary, {"reason": reason})
        ended = {
            "tenant": self._row.tenant,
            "task": self._row.task,
            "alias": self._alias,
            "version": canary.plan.version,
            "stable_version": stable,
            "reason": reason,
        }
        emit(self._connection, self._row.tenant, "canary.rolled_back", ended)

    def cancel(self, canary: Canary, *, stable: int, by: Actor, reason: str | None = None) -> None:
        """End the canary: the stable version answers all callers again."""
        self._remove()
        self._note("canary_cancel", canary.plan.version, stable, by, reason=reason)
        self._audit("canary.cancel", by, canary, None)

    @property
    def _here(self) -> ColumnElement[bool]:
        return and_(canaries.c.prefix_id == self._row.id, canaries.c.alias == self._alias)

    def _remove(self) -> None:
        self._connection.execute(delete(canaries).where(self._here))

    def _note(
        self,
        kind: MoveKind,
        before: int,
        to: int,
        by: Actor,
        *,
        percent: float | None = None,
        reason: str | None = None,
    ) -> int:
        return add_move(
            self._connection,
            self._row,
            self._alias,
            kind,
            before=before,
            to=to,
            by=by,
            percent=percent,
            reason=reason,
        )

    def _audit(
        self, action: Action, by: Actor, before: Canary | None, after: Mapping[str, Any] | None
    ) -> None:
        record(
            self._connection,
            by,
            action,
            self,
            tenant=self._row.tenant,
            before=None if before is None else asdict(before.plan),
            after=after,
        )
