"""QueryCache: results of queries, valid until `Database.write` changes anything in the database.

Every request looks up the tenant of its key and the versions of its references. The cache serves
results only while the database reports the same state as when they were read. A change by any
process therefore takes effect at once.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from prefixes.registry.database import Database

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_MAX_RESULTS: Final = 16_384
"""About 10 MB. If it would be exceeded, the cache is cleared."""


class QueryCache(Generic[Key, Result]):
    """Results by key. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._state: int | None = None
        self._results: dict[Key, Result] = {}

    def recall(self, keys: Collection[Key]) -> dict[Key, Result] | None:
        """Return all results if they are cached and current; never wait for the database."""
        state = self._database.state()
        with self._lock:
            if state is None or state != self._state:
                return None
            found = {key: self._results[key] for key in keys if key in self._results}
        return found if len(found) == len(keys) else None

    def query(self, read: Callable[[Connection], Mapping[Key, Result]]) -> Mapping[Key, Result]:
        """Read results from the database and cache them.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        state = self._database.state()
        with self._database.read() as connection:
            results = read(connection)
        # If something changed meanwhile, it is unknown which state the results belong to.
        if state is not None and state == self._database.state():
            self._store(state, results)
        return results

    def _store(self, state: int, results: Mapping[Key, Result]) -> None:
        with self._lock:
            if state != self._state or len(self._results) + len(results) > _MAX_RESULTS:
                self._results.clear()
            self._state = state
            self._results.update(results)
