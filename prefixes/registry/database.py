"""Database: the registry's connections and transactions.

SQLite by default, one file next to the blobs. Otherwise PostgreSQL, which several machines can use.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from prefixes.errors import StoreFull, StoreUnavailable
from prefixes.registry import postgresql
from prefixes.registry.reserve import Reserve
from prefixes.registry.sqlite import (
    BUSY_SECONDS,
    ChangeWatch,
    count_change,
    for_writing,
    is_of_file,
    num_changed_rows,
    sqlite_file,
)

T = TypeVar("T")


class Database:
    """A registry's database with up-to-date tables. Safe to use from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        is_sqlite = engine.dialect.name == "sqlite"
        self._writer = for_writing(engine) if is_sqlite else postgresql.for_writing(engine)
        # Writers wait for each other here. If they waited in the database, they would hold all
        # connections, and readers would find none.
        self._turn = threading.Lock()
        path = sqlite_file(engine.url)
        self.file: Path | None = path
        self._watch = ChangeWatch(engine) if path else None
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve")) if path else None

    @property
    def name(self) -> str:
        """The URL without the password, for messages."""
        return self._reader.url.render_as_string(hide_password=True)

    def state(self) -> int | None:
        """Return a number that differs after every change by `write`, within a few microseconds.

        Changes by other processes count. None if the database does not support this, or is locked.
        """
        return None if self._watch is None else self._watch.state()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection that sees one consistent state.

        Raises:
            StoreUnavailable: when the database cannot be reached or read.
        """
        with self._explained(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that excludes all other writers; an exception rolls it back.

        Raises:
            StoreUnavailable: when the database cannot be reached, written or locked in time.
        """
        with self.write_activity() as connection, self._counted(connection):
            yield connection

    @contextmanager
    def write_activity(self) -> Iterator[Connection]:
        """Open a transaction like `write`, for rows that no `QueryCache` contains.

        Every process keeps its cached results: frequent writes must not clear them.

        Raises: as `write`.
        """
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise self._busy()
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
        if self._watch is not None:
            self._watch.close()
        self._reader.dispose()

    def _reconnect(self) -> None:
        """Close idle connections: they would report a damaged file even after its repair."""
        self.close()

    @contextmanager
    def _counted(self, connection: Connection) -> Iterator[None]:
        """Count the transaction as a change if it changes a row."""
        before = None if self._watch is None else num_changed_rows(connection)
        yield
        if before is not None and num_changed_rows(connection) != before:
            count_change(connection)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the database into errors of the store."""
        try:
            yield
        except IntegrityError:
            raise  # a bug in this program; the database itself is fine
        except (DBAPIError, PoolTimeout) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(error, ProgrammingError) and not postgresql.is_of_setup(reason):
                raise  # a bug, too
            if postgresql.is_busy(reason):
                raise self._busy() from error
            code = getattr(reason, "sqlite_errorcode", None)
            if is_of_file(code):
                self._reconnect()
            is_full = code == sqlite3.SQLITE_FULL or postgresql.is_disk_full(reason)
            kind = StoreFull if is_full else StoreUnavailable
            what = " ".join(str(reason).split())  # a driver may report it in several lines
            raise kind(
                f"The database {self.name} could not be used: {what}; {self._advice}"
            ) from error

    def _busy(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"The database {self.name} was busy with other changes for {BUSY_SECONDS} "
            "seconds: try again later"
        )

    @property
    def _advice(self) -> str:
        if self._reader.dialect.name == "sqlite":
            return (
                "check that it exists, is writable and not locked by another program, and that "
                "its disk has free space"
            )
        return "check that the server runs, accepts this user, and has free disk space"
