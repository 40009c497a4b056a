"""QueryCache: results of queries, valid until `Database.write` changes anything in the database.

Every request looks up the tenant of its key and the versions of its references. The cache serves
results only while the database reports the same state as when they were read. A change by any
process therefore takes effect as soon as `Database.state` shows it.
"""

import threading
import time
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from prefixes.registry.database import Database

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_MAX_RESULTS: Final = 16_384
"""About 10 MB. If it would be exceeded, the cache is cleared."""
_MAX_REFRESHED: Final = 2048
_REFRESH_SECONDS: Final = 3600.0
"""Results that were not used for this time are not read again after a change."""


class _Former(NamedTuple, Generic[Result]):
    """A result of an earlier state, and when it was used last at the latest."""

    result: Result
    used_at: float


class QueryCache(Generic[Key, Result]):
    """Results by key. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._state: int | None = None
        self._results: dict[Key, Result] = {}
        # Results that `refresh` has read, and that were not used since then.
        self._unused: dict[Key, Result] = {}
        self._former: dict[Key, _Former[Result]] = {}
        self._refreshed_state: int | None = None

    def recall(self, keys: Collection[Key]) -> dict[Key, Result] | None:
        """Return all results if they are cached and current; never wait for the database."""
        state = self._database.state()
        with self._lock:
            if state is None or state != self._state:
                return None
            found = {key: self._results[key] for key in keys if key in self._results}
            if len(found) < len(keys) and self._unused:
                found |= self._use(keys)
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
            with self._lock:
                self._advance_to(state)
                self._results.update(self._fitting(results))
        return results

    def refresh(
        self, read: Callable[[Connection, Mapping[Key, Result]], Mapping[Key, Result]]
    ) -> None:
        """Read again what was used before the last change, so that an outage finds it cached.

        Args:
            read: reads the results of some keys again, given the former ones.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        state = self._database.state()
        former = self._outdated(state)
        if not former:
            return
        with self._database.read() as connection:
            results = read(connection, former)
        if state == self._database.state():
            with self._lock:
                if state == self._state:
                    self._unused.update(self._fitting(results))
                    self._refreshed_state = state

    def _outdated(self, state: int | None) -> dict[Key, Result]:
        """Return the former results that are not cached in this state."""
        with self._lock:
            if state is None or state == self._refreshed_state:
                return {}
            self._advance_to(state)
            return {
                key: one.result
                for key, one in self._former.items()
                if key not in self._results and key not in self._unused
            }

    def _advance_to(self, state: int) -> None:
        """Forget the results of an earlier state, or set them aside for `refresh`."""
        if state == self._state:
            return
        if self._database.change_number is not None:  # otherwise nobody refreshes
            self._set_aside()
        self._results.clear()
        self._unused.clear()
        self._state = state

    def _set_aside(self) -> None:
        oldest = time.monotonic() - _REFRESH_SECONDS
        former = {key: one for key, one in self._former.items() if one.used_at > oldest}
        for key, result in self._results.items():
            former.pop(key, None)  # the order is that of the last use
            former[key] = _Former(result, time.monotonic())
        self._former = dict(list(former.items())[-_MAX_REFRESHED:])

    def _use(self, keys: Collection[Key]) -> dict[Key, Result]:
        """Move results that are used for the first time since the last change."""
        used = {key: self._unused.pop(key) for key in keys if key in self._unused}
        self._results.update(used)
        return used

    def _fitting(self, results: Mapping[Key, Result]) -> Mapping[Key, Result]:
        """Clear the cache if the results would exceed it, and return them."""
        if len(self._results) + len(self._unused) + len(results) > _MAX_RESULTS:
            self._results.clear()
            self._unused.clear()
        return results
