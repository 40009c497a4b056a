"""StoredCounts: what servers have counted about running canaries, as text that only they read."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, select, update

from prefixes.registry.database import Database
from prefixes.registry.tables import canaries, prefixes, tenants


class CanaryId(NamedTuple):
    """One canary of an alias. A later one of the same version has another start."""

    tenant: str
    task: str
    alias: str
    version: int
    started_at: datetime


Merge = Callable[[CanaryId, str | None], str]
"""Returns the text that replaces the stored one, which is None at first."""

_IDS: Final = select(
    tenants.c.name,
    prefixes.c.task,
    canaries.c.alias,
    canaries.c.version,
    canaries.c.started_at,
    canaries.c.prefix_id,
    canaries.c.counts,
).select_from(canaries.join(prefixes, canaries.c.prefix_id == prefixes.c.id).join(tenants))


class StoredCounts:
    """The counts of all canaries. They go with their canary. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, limit: int) -> dict[CanaryId, str]:
        """Read the counts of the canaries that were started last, the oldest of them first."""
        query = _IDS.where(canaries.c.counts.is_not(None))
        query = query.order_by(canaries.c.started_at.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {CanaryId(*about): counts for *about, _, counts in reversed(rows)}

    def merge(self, changed: Iterable[CanaryId], merge: Merge) -> None:
        """Replace the counts of canaries that have not ended: all or none.

        Servers that share a database add to what the others have counted.
        """
        with self._database.write_activity() as connection:
            for canary in changed:
                _merge_one(connection, canary, merge)


def _merge_one(connection: Connection, canary: CanaryId, merge: Merge) -> None:
    where = (
        tenants.c.name == canary.tenant,
        prefixes.c.task == canary.task,
        canaries.c.alias == canary.alias,
        canaries.c.version == canary.version,
        canaries.c.started_at == canary.started_at,
    )
    locked = _IDS.where(*where).with_for_update(of=canaries)
    row = connection.execute(locked).one_or_none()
    if row is None:
        return
    text = merge(canary, row.counts)
    here = and_(canaries.c.prefix_id == row.prefix_id, canaries.c.alias == canary.alias)
    connection.execute(update(canaries).where(here).values(counts=text))
