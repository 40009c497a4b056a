"""Sharing: the changes of who may read a task in addition to its owner."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from prefixes.registry.audit import record
from prefixes.registry.changes import find_prefix
from prefixes.registry.database import Database
from prefixes.registry.grants import add_reader, find_readers, remove_reader, set_public
from prefixes.registry.values import Actor, Readers


class Sharing:
    """The readers of tasks. A change applies to the next request. Safe to use from many threads.

    Every method raises PrefixNotFound when the task does not exist, and StoreUnavailable when the
    database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def readers(
        self, tenant: str, task: str, *, after: str = "", limit: int | None = None
    ) -> Readers:
        """Return who may read a task, by name.

        Args:
            tenant: the owner.
            task: the task.
            after: the last name of the previous page.
            limit: maximum number of names; None for all.
        """
        with self._database.read() as connection:
            row = find_prefix(connection, tenant, task)
            return find_readers(connection, row.id, after=after, limit=limit)

    def set_public(self, tenant: str, task: str, *, is_public: bool, by: Actor) -> None:
        """Set whether everyone may read a task."""
        change = {"before": {"is_public": not is_public}, "after": {"is_public": is_public}}
        self._change(
            tenant,
            task,
            lambda connection, row_id: set_public(connection, row_id, is_public=is_public),
            change,
            by,
        )

    def add(self, tenant: str, task: str, reader: str, *, by: Actor) -> None:
        """Let another tenant read a task. The tenant need not exist yet."""
        change = {"after": {"reader": reader}}
        self._change(
            tenant,
            task,
            lambda connection, row_id: add_reader(connection, row_id, reader),
            change,
            by,
        )

    def remove(self, tenant: str, task: str, reader: str, *, by: Actor) -> None:
        """Remove another tenant from the readers of a task."""
        change = {"before": {"reader": reader}}
        self._change(
            tenant,
            task,
            lambda connection, row_id: remove_reader(connection, row_id, reader),
            change,
            by,
        )

    def _change(
        self,
        tenant: str,
        task: str,
        make: Callable[[Connection, int], bool],
        change: Mapping[str, Mapping[str, Any]],
        by: Actor,
    ) -> None:
        def change_rows(connection: Connection) -> None:
            row = find_prefix(connection, tenant, task)
            if make(connection, row.id):
                record(connection, by, "prefix.share", row, tenant=tenant, **change)

        self._database.free(change_rows)  # access must end on a full disk, too
