"""Database: the registry's connections and transactions.

SQLite by default, one file next to the blobs. Otherwise PostgreSQL, which several machines can use.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from prefixes.errors import DatabaseUnreachable, InvalidText, StoreFull
from prefixes.registry import postgresql
from prefixes.registry.change_feed import ChangeFeed, Outage
from prefixes.registry.database_errors import busy, is_bug, is_of_text, name_of, store_error
from prefixes.registry.open_connections import OpenConnections
from prefixes.registry.reserve import Reserve
from prefixes.registry.seen_changes import SeenChanges
from prefixes.registry.sqlite import (
    BUSY_SECONDS,
    ChangeWatch,
    change_counter,
    for_writing,
    is_of_file,
    sqlite_file,
)

T = TypeVar("T")


class Database:
    """A registry's database with up-to-date tables. Safe to use from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writer = for_writing(engine) if self._is_sqlite else postgresql.for_writing(engine)
        # Writers wait for each other here. If they waited in the database, they would hold all
        # connections, and readers would find none.
        self._turn = threading.Lock()
        path = sqlite_file(engine.url)
        self.file: Path | None = path
        self._watch = ChangeWatch(engine) if path else None
        self._feed: ChangeFeed | None = None
        self._connections = None if self._is_sqlite else OpenConnections(engine)
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve")) if path else None

    @property
    def name(self) -> str:
        """The URL without the password, for messages."""
        return name_of(self._reader.url)

    @property
    def can_lose_lock(self) -> bool:
        """Whether a transaction of `write` may lose its lock before it ends, with its connection.

        Its commit then fails.
        """
        return not self._is_sqlite

    @property
    def outage(self) -> Outage | None:
        """The time in which the database's server cannot be reached; None while it can."""
        return None if self._feed is None else self._feed.outage

    @property
    def change_number(self) -> int | None:
        """The number of the latest change that this server has seen.

        None if it cannot be behind: it asks the database every time, or SQLite for its state.
        """
        return None if self._feed is None else self._feed.number

    def follow_changes(self, *, outage_seconds: float = 0, seen: SeenChanges | None = None) -> None:
        """Follow the changes of other processes, so that `state` is known for PostgreSQL too.

        Servers do this. A command asks once, and needs no cache.

        Args:
            outage_seconds: how long `state` stays as it was when the database cannot be reached.
            seen: shares what is seen with the other processes of the server; None: it is alone.
        """
        if self._connections is None or self._feed is not None:
            return
        from prefixes.registry.change_connection import (  # noqa: PLC0415 - an optional driver
            ChangeConnection,
        )

        self._feed = ChangeFeed(
            partial(ChangeConnection.to, self._reader),
            self._read_change_number,
            self._connections.abort,
            outage_seconds=outage_seconds,
            seen=seen or SeenChanges.alone(),
        )
        self._feed.start()

    def catch_up(self, number: int) -> bool:
        """See all changes up to the one with a number; return false if the database lacks it.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        if self._feed is None:
            return True
        if self._feed.number < number:
            self._check_reachable()
            self._feed.note(self._read_change_number())
        return self._feed.number >= number

    def state(self) -> int | None:
        """Return a number that differs after every change by `write`, within a few microseconds.

        Changes by other processes count: at once with SQLite, within a second with PostgreSQL.
        None if the number is not known now: results must then be read from the database.
        """
        if self._feed is not None:
            return self._feed.state()
        return None if self._watch is None else self._watch.state()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection that sees one consistent state.

        Raises:
            StoreUnavailable: when the database cannot be reached or read.
        """
        self._check_reachable()
        with self._explained(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that excludes all other writers; an exception rolls it back.

        Raises:
            StoreUnavailable: when the database cannot be reached, written or locked in time.
        """
        with self.write_activity() as connection:
            count = self._change_counter(connection)
            yield connection
            number = count()
        if self._feed is not None and number is not None:
            self._feed.note(number)

    @contextmanager
    def write_activity(self) -> Iterator[Connection]:
        """Open a transaction like `write`, for rows that no `QueryCache` contains.

        Every process keeps its cached results: frequent writes must not clear them.

        Raises: as `write`.
        """
        self._check_reachable()
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise busy(self._reader.url)
        try:
            with self._explained(), self._writer.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    def free(self, change: Callable[[Connection], T]) -> T:
        """Make a change that frees space. If the disk is full, it uses the reserved space.

        Raises: as `write`.
        """
        try:
            with self.write() as connection:
                return change(connection)
        except StoreFull:
            if self._reserve is None or not self._reserve.release():
                raise
        with self.write() as connection:
            return change(connection)

    def reserve_space(self) -> None:
        """Reserve disk space for `free`, unless it is reserved or the disk is full."""
        if self._reserve is not None:
            self._reserve.fill()

    def use_reserve(self) -> bool:
        """Free the reserved space if the disk is full; return whether that was done."""
        reserve = self._reserve
        return reserve is not None and reserve.is_needed() and reserve.release()

    def close(self) -> None:
        """Close all connections."""
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        self._reconnect()

    def _reconnect(self) -> None:
        """Close idle connections: they would report a damaged file even after its repair."""
        if self._watch is not None:
            self._watch.close()
        self._reader.dispose()

    def _change_counter(self, connection: Connection) -> Callable[[], int | None]:
        """Return a function that counts the transaction as a change if it changes a row."""
        if not self._is_sqlite:
            return partial(postgresql.count_change, connection)
        return _count_nothing if self._watch is None else change_counter(connection)

    def _read_change_number(self) -> int:
        with self._explained(), self._reader.connect() as connection:
            number: int = connection.exec_driver_sql(postgresql.READ_CHANGE_NUMBER).scalar_one()
            return number

    def _check_reachable(self) -> None:
        """Fail at once while the database is away, instead of waiting for a connection."""
        if (outage := self.outage) is not None:
            raise DatabaseUnreachable(
                f"The database {self.name} has been unreachable for {outage.seconds:.0f} seconds: "
                f"{outage.reason}"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the database into errors of the store."""
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            if is_bug(error):
                raise
            if is_of_text(error):
                raise InvalidText(
                    "A text contains the character NUL, which the database cannot store: remove it"
                ) from error
            if isinstance(error, DBAPIError) and is_of_file(error.orig):
                self._reconnect()
            failure = store_error(error, self._reader.url)
            if isinstance(failure, DatabaseUnreachable) and self._feed is not None:
                self._feed.suspect()
            raise failure from error


def _count_nothing() -> None:
    """Count no changes: no other connection can see a database in memory."""
