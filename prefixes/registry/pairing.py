"""Pairing: a store and a database belong together if both hold the same id.

With an empty or foreign database, all content of a store would look abandoned, so such a start is
rejected. A store and a database that are older than the ids are paired if they share content.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, delete, insert, select

from prefixes.errors import StoreMismatch
from prefixes.registry.database import Database
from prefixes.registry.sqlite import sqlite_file
from prefixes.registry.tables import deleted_versions, paired_store, trainings, versions
from prefixes.store import PrefixStore

_REMEDY = (
    "Check the store folder and the database URL, restore the right database from a backup, or "
    "run `polyprefix store adopt` to use these two together."
)


@dataclass(frozen=True, slots=True)
class Overlap:
    """The numbers of prefix files and trainings in both a store and a database, or in one only."""

    num_shared: int
    num_only_stored: int
    num_only_listed: int

    @property
    def is_pair(self) -> bool:
        """Whether they belong together: they share something, or both are empty."""
        return self.num_shared > 0 or self.num_only_stored + self.num_only_listed == 0

    def __str__(self) -> str:
        return (
            f"{self.num_shared} prefix files and trainings are in both, {self.num_only_stored} "
            f"only in the store, {self.num_only_listed} only in the database"
        )


def check_not_missing(url: URL, store: PrefixStore) -> None:
    """Reject a missing database for a store that has content, before anything is created.

    Raises:
        StoreMismatch: when the database file is missing or empty and the store is not.
    """
    path = sqlite_file(url)
    if path is None or _has_bytes(path):
        return
    num_stored = len(_stored(store))
    if num_stored:
        raise StoreMismatch(
            f"The database {path} is missing or empty, but the store {store.name} holds "
            f"{num_stored} prefix files and trainings. {_REMEDY}"
        )


def pair(database: Database, store: PrefixStore) -> None:
    """Check that a database and a store belong together; pair them if they have no ids yet.

    Raises:
        StoreMismatch: when they do not belong together.
    """
    with database.read() as connection:
        paired, ours = _paired_id(connection), store.id()
    if paired is not None and paired == ours:
        return
    if paired is not None and ours is not None:
        raise StoreMismatch(
            f"The database {database.name} does not belong to the store {store.name}: expected "
            f"the store id {paired}, found {ours}. {_REMEDY}"
        )
    # If two processes start at once, the second waits here and finds the id of the first.
    with database.write() as connection:
        found = _overlap(connection, store)
        if not found.is_pair:
            raise StoreMismatch(
                f"The database {database.name} does not seem to belong to the store "
                f"{store.name}: {found}. {_REMEDY}"
            )
        _set_ids(connection, store)


def adopt(database: Database, store: PrefixStore) -> Overlap:
    """Pair a database with a store without checking their content; report what they share."""
    with database.write() as connection:
        _set_ids(connection, store)
        return _overlap(connection, store)


def _set_ids(connection: Connection, store: PrefixStore) -> None:
    store_id = store.id()
    if store_id is None:
        store_id = _paired_id(connection) or uuid.uuid4().hex
        store.set_id(store_id)
    if _paired_id(connection) != store_id:
        connection.execute(delete(paired_store))
        connection.execute(insert(paired_store).values(id=store_id))


def _paired_id(connection: Connection) -> str | None:
    found: str | None = connection.scalar(select(paired_store.c.id))
    return found


def _overlap(connection: Connection, store: PrefixStore) -> Overlap:
    listed = {
        *connection.scalars(select(versions.c.digest)),
        *connection.scalars(select(deleted_versions.c.digest)),
        *connection.scalars(select(trainings.c.id)),
    }
    stored = _stored(store)
    return Overlap(len(listed & stored), len(stored - listed), len(listed - stored))


def _stored(store: PrefixStore) -> frozenset[str]:
    return store.digests() | store.quarantined() | store.trainings()


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
