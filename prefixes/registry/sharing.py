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

    def readers(self, tenant: str, task: str) -> Readers:
        """Return who may read a task."""
        with self._database.read() as connection:
            return find_readers(connection, find_prefix(connection, tenant, task).id)

    def set_public(self, tenant: str, task: str, *, is_public: bool, by: Actor) -> Readers:
        """Set whether everyone may read a task."""
        change = {"before": {"is_public": not is_public}, "after": {"is_public": is_public}}
        return self._change(
            tenant,
            task,
            lambda connection, row_id: set_public(connection, row_id, is_public=is_public),
            change,
            by,
        )

    def add(self, tenant: str, task: str, reader: str, *, by: Actor) -> Readers:
        """Let another tenant read a task. The tenant need not exist yet."""
        change = {"after": {"reader": reader}}
        return self._change(
            tenant,
            task,
            lambda connection, row_id: add_reader(connection, row_id, reader),
            change,
            by,
        )

    def remove(self, tenant: str, task: str, reader: str, *, by: Actor) -> Readers:
        """Remove another tenant from the readers of a task."""
        change = {"before": {"reader": reader}}
        return self._change(
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
    ) -> Readers:
        def change_rows(connection: Connection) -> Readers:
            row = find_prefix(connection, tenant, task)
            if make(connection, row.id):
                record(connection, by, "prefix.share", row, tenant=tenant, **change)
            return find_readers(connection, row.id)

        return self._database.free(change_rows)  # access must end on a full disk, too
