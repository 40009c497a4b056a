"""Canaries: starting, changing, promoting and canceling the second version of an alias."""

from collections.abc import Callable

from sqlalchemy import Connection

from prefixes.errors import CanaryNotFound, InvalidCanary, PrefixNotFound
from prefixes.registry.alias_values import Canary, CanaryPlan
from prefixes.registry.aliases import AliasPointer, accept_any, find_target
from prefixes.registry.canary_rows import CanaryPointer
from prefixes.registry.changes import PrefixRow, find_spec, find_version
from prefixes.registry.database import Database
from prefixes.registry.idempotency import IdempotencyKey, find_result, note_result
from prefixes.registry.routing import CanaryRoute
from prefixes.registry.values import Actor

Check = Callable[[Canary | None], None]
"""Raises an error, within the transaction of a change, if the change must not be made."""


class Canaries:
    """The canaries of aliases. A change applies to the next request. Safe to use from many threads.

    Every method raises PrefixNotFound when the task or the alias does not exist, and
    StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, task: str, alias: str) -> Canary:
        """Read the canary of an alias.

        Raises:
            CanaryNotFound: when the alias has none.
        """
        with self._database.read() as connection:
            _, pointer, _ = _open(connection, tenant, task, alias)
            return _existing(pointer)

    def set(
        self,
        tenant: str,
        task: str,
        alias: str,
        plan: CanaryPlan,
        *,
        check: Check = accept_any,
        by: Actor,
    ) -> Canary:
        """Start a canary, replace it by another version, or change its share of the callers.

        Raises:
            PrefixNotFound: also when the version does not exist.
            InvalidCanary: when the alias points to the version, or has another task type or
                backbone.
        """
        with self._database.write() as connection:
            row, pointer, stable = _open(connection, tenant, task, alias)
            check(pointer.find())
            _check_plan(connection, row, alias, plan, stable)
            pointer.set(plan, stable=stable, by=by)
            return _existing(pointer)

    def promote(
        self,
        tenant: str,
        task: str,
        alias: str,
        *,
        check: Check = accept_any,
        by: Actor,
        once: IdempotencyKey | None = None,
    ) -> int:
        """Point the alias to the version of its canary, which ends, and return the version.

        A repeated promotion with the same `once` returns the version of the first one.

        Raises:
            CanaryNotFound: when the alias has none.
        """
        with self._database.write() as connection:
            row, pointer, _ = _open(connection, tenant, task, alias)
            if former := find_result(connection, tenant, once):
                return former.version
            check(pointer.find())
            version = _existing(pointer).plan.version
            AliasPointer(connection, row, alias).move(version, kind="promote", by=by)
            note_result(connection, tenant, once, version=version)
            return version

    def cancel(
        self, tenant: str, task: str, alias: str, *, check: Check = accept_any, by: Actor
    ) -> None:
        """End the canary: the version that the alias points to answers all callers again.

        Raises:
            CanaryNotFound: when the alias has none.
        """

        def end(connection: Connection) -> None:
            _, pointer, stable = _open(connection, tenant, task, alias)
            check(pointer.find())
            pointer.cancel(_existing(pointer), stable=stable, by=by)

        self._database.free(end)  # a bad version must go on a full disk, too

    def roll_back(self, route: CanaryRoute, *, reason: str, by: Actor) -> bool:
        """End a canary that exceeds one of its bounds; return false if it has ended already."""
        version = route.version

        def end(connection: Connection) -> bool:
            place = (version.tenant, version.task, route.alias)
            try:
                _, pointer, stable = _open(connection, *place)
            except PrefixNotFound:
                return False
            canary = pointer.find()
            if canary is None or (canary.plan.version, canary.started_at) != route.identity:
                return False
            pointer.roll_back(canary, stable=stable, by=by, reason=reason)
            return True

        return self._database.free(end)


def _open(
    connection: Connection, tenant: str, task: str, alias: str
) -> tuple[PrefixRow, CanaryPointer, int]:
    """Find the task, the place of the canary, and the version that the alias points to."""
    row, stable = find_target(connection, tenant, task, alias)
    return row, CanaryPointer(connection, row, alias), stable


def _existing(pointer: CanaryPointer) -> Canary:
    found = pointer.find()
    if found is None:
        raise CanaryNotFound(f"{pointer} has no canary: start one, or list the aliases of the task")
    return found


def _check_plan(
    connection: Connection, row: PrefixRow, alias: str, plan: CanaryPlan, stable: int
) -> None:
    if plan.version == stable:
        raise InvalidCanary(
            f"{row}:{alias} points to version {stable} already: choose another version for its "
            "canary"
        )
    old, new = (find_version(connection, row, one).task_type for one in (stable, plan.version))
    if new != old:
        raise InvalidCanary(
            f"{row.version(plan.version)} has the task type {new}, but {row}:{alias} points to a "
            f"version with the task type {old}: a canary needs the same one"
        )
    # One engine runs both versions, to compare them.
    its, wanted = (find_spec(connection, row, one).backbone for one in (plan.version, stable))
    if its.differences(wanted):
        raise InvalidCanary(
            f"{row.version(plan.version)} is for the backbone {its.label}, but {row}:{alias} "
            f"points to a version for {wanted.label}: a canary needs the same one"
        )
