"""The rows of canaries: reading, writing and ending one within a transaction."""

from dataclasses import asdict

from sqlalchemy import ColumnElement, and_, delete, insert, update

from prefixes.registry.alias_handle import AliasHandle
from prefixes.registry.alias_values import Canary, CanaryPlan
from prefixes.registry.canary_columns import CANARIES, canary_of
from prefixes.registry.outbox import emit
from prefixes.registry.tables import canaries, now
from prefixes.registry.values import Actor


class CanaryPointer(AliasHandle):
    """The canary of one alias, valid during one write transaction."""

    def find(self) -> Canary | None:
        """Read the canary; None if the alias has none."""
        found = self._connection.execute(CANARIES.where(self._here)).one_or_none()
        return None if found is None else canary_of(found[1:])

    def set(self, plan: CanaryPlan, *, stable: int, by: Actor) -> None:
        """Start a canary, replace it, or change its share. Without a change, nothing happens."""
        current = self.find()
        if current is not None and current.plan == plan:
            return
        revision = self._add_move("canary", stable, plan.version, by, percent=plan.percent)
        values = {**asdict(plan), "revision": revision}
        if current is None or current.plan.version != plan.version:
            values |= {"started_at": now(), "started_by": by.name, "counts": None}
        if current is None:
            here = {"prefix_id": self._row.id, "alias": self._alias}
            self._connection.execute(insert(canaries).values(**here, **values))
        else:
            self._connection.execute(update(canaries).where(self._here).values(**values))
        before = None if current is None else asdict(current.plan)
        self._audit("canary.set", by, before, asdict(plan))

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
        self._add_move("canary_rollback", canary.plan.version, stable, by, reason=reason)
        self._audit("canary.rollback", by, asdict(canary.plan), {"reason": reason})
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
        self._add_move("canary_cancel", canary.plan.version, stable, by, reason=reason)
        self._audit("canary.cancel", by, asdict(canary.plan), None)

    @property
    def _here(self) -> ColumnElement[bool]:
        return and_(canaries.c.prefix_id == self._row.id, canaries.c.alias == self._alias)

    def _remove(self) -> None:
        self._connection.execute(delete(canaries).where(self._here))
