"""SQLite's part of a database: its file, its connections, and a watch for changes by others.

Source of the transaction handling: SQLAlchemy's documentation of its SQLite dialect.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from prefixes.disk import create_private, tighten

BUSY_SECONDS: Final = 20
"""Maximum time that a change waits for other changes: in this process, then in others."""

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA synchronous = FULL",  # acknowledged changes survive a power failure
    "PRAGMA foreign_keys = ON",
)
_RETRY_SECONDS: Final = 0.01
_BEGIN: Final = "sqlite_begin"
_FILE_ERRORS: Final = frozenset({
    sqlite3.SQLITE_ERROR,  # such as a missing table: a file without content is an empty database
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
})  # fmt: skip
_OPENINGS: Final = 2**32


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite database, or None for a database that is not one file."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    if url.host is not None:
        return None  # SQLAlchemy rejects it
    assert url.database is not None
    return Path(url.database)


def make_private(path: Path) -> None:
    """Hide the hashes of keys from other users; SQLite gives its log the file's permissions."""
    with suppress(OSError):  # SQLite reports what is wrong with the path
        create_private(path)
        for suffix in ("", "-wal", "-shm"):
            tighten(path.with_name(path.name + suffix))


def configure(engine: Engine) -> None:
    """Set the pragmas of each connection, and begin transactions explicitly."""
    event.listen(engine, "connect", _configure_connection)
    event.listen(engine, "begin", _begin)


def is_of_file(reason: BaseException | None) -> bool:
    """Return whether an error concerns the file itself: damaged, unreadable or not writable.

    A connection keeps pages in memory, and does not notice that the file was repaired.
    """
    code: int | None = getattr(reason, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _FILE_ERRORS  # the rest of a code is a detail


def for_writing(engine: Engine) -> Engine:
    """Return the engine with transactions that take SQLite's write lock when they begin.

    A transaction that reads first and takes the lock later fails if another writer committed in
    between.
    """
    return engine.execution_options(**{_BEGIN: "IMMEDIATE"})


def _configure_connection(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # keeps the driver from beginning transactions: `_begin` does
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    _use_log(connection)


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, with which readers never wait for a writer.

    SQLite reports a lock at once, without waiting, if another process switches at the same time.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= end:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def change_counter(connection: Connection) -> Callable[[], None]:
    """Return a function that counts the transaction as a change if it has changed rows by then."""
    before = _num_changed_rows(connection)

    def count() -> None:
        if _num_changed_rows(connection) != before:
            _count_change(connection)

    return count


def _num_changed_rows(connection: Connection) -> int:
    """Return how many rows the connection has changed since it was opened."""
    opened = cast("sqlite3.Connection", connection.connection.driver_connection)
    return opened.total_changes


def _count_change(connection: Connection) -> None:
    """Count a change, as part of its transaction. `ChangeWatch` reads the number."""
    # SQLite stores this number in the header of the file, for programs to use as they like.
    number: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA user_version = {(number + 1) % 2**31}")


class ChangeWatch:
    """A connection that reads the number of changes by all connections."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._num_openings = 0

    def state(self) -> int | None:
        """Return the number of counted changes; None if it cannot be read now."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                (state,) = self._connection.execute("PRAGMA user_version").fetchone()
            except sqlite3.Error:
                return None  # locked or missing: the next query reports the reason
        # After a reconnection the file may be another one, such as a repaired copy.
        return self._num_openings * _OPENINGS + int(state)

    def close(self) -> None:
        """Close the connection; `state` opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        where, options = self._engine.dialect.create_connect_args(self._engine.url)
        # Never waits for a lock, because it runs on the event loop.
        options.update(check_same_thread=False, timeout=0)
        self._num_openings += 1
        return cast("sqlite3.Connection", self._engine.dialect.connect(*where, **options))
