"""Database: the registry's connection, its transactions and its upgrade to today's tables.

SQLite by default, one file beside the blobs; the SQL is plain enough for PostgreSQL.
Source of the transaction handling: SQLAlchemy's documentation of its SQLite dialect.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from prefixes.disk import create_private, tighten
from prefixes.errors import StoreFull, StoreUnavailable
from prefixes.registry.reserve import Reserve

T = TypeVar("T")

_WRITE_SECONDS = 20
"""How long a change waits for those before it: of this process, then of others."""

_SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout = {_WRITE_SECONDS * 1000}",  # first, for the next may have to wait too
    "PRAGMA journal_mode = WAL",  # readers never wait for a writer
    "PRAGMA synchronous = FULL",  # what was acknowledged survives a power cut
    "PRAGMA foreign_keys = ON",
)
_BEGIN = "sqlite_begin"


class Database:
    """A registry's database, at today's tables. Safe to use from many threads."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        # A writer takes SQLite's lock at once: a transaction that reads first and asks for the
        # lock later fails when another writer came in between.
        self._writer = engine.execution_options(**{_BEGIN: "IMMEDIATE"})
        # Writers wait here, each in turn, and not in the database: there they would hold all the
        # connections while readers need one.
        self._turn = threading.Lock()
        path = sqlite_file(engine.url)
        self.file = path
        self._watch = _Watch(engine) if path else None
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve")) if path else None

    @property
    def name(self) -> str:
        """Its URL without the password, for messages."""
        return _name(self._reader.url)

    def state(self) -> int | None:
        """Give a number that is another one after every change, in a few microseconds.

        Changes by other processes count. None when the database cannot tell, or not now.
        """
        return None if self._watch is None else self._watch.state()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state.

        Raises:
            StoreUnavailable: when the database cannot be reached or read.
        """
        with _explained(self._reader), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that no other writer interleaves: committed at the end, or not at all.

        Raises:
            StoreUnavailable: when the database cannot be reached, written or locked in time.
        """
        if not self._turn.acquire(timeout=_WRITE_SECONDS):
            raise StoreUnavailable(
                f"The database {_name(self._writer.url)} was busy with other changes for "
                f"{_WRITE_SECONDS} seconds: try again later"
            )
        try:
            with _explained(self._writer), self._writer.begin() as connection:
                yield connection
        finally:
            self._turn.release()

    def free(self, change: Callable[[Connection], T]) -> T:
        """Make a change that frees space; on a full disk, in the space that was reserved for it.

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
        """Free the reserved space if the disk is full; False if that does not help."""
        reserve = self._reserve
        return reserve is not None and reserve.is_needed() and reserve.release()

    def close(self) -> None:
        """Close all connections."""
        if self._watch is not None:
            self._watch.close()
        self._reader.dispose()


class _Watch:
    """A connection that only watches for the commits of all others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def state(self) -> int | None:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                (state,) = self._connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                return None  # locked, or gone: whoever asks the database itself hears about it
        return int(state)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        where, options = self._engine.dialect.create_connect_args(self._engine.url)
        # Never waits for a lock: it is asked on the event loop.
        options.update(check_same_thread=False, timeout=0)
        return cast("sqlite3.Connection", self._engine.dialect.connect(*where, **options))


def open_database(url: str | URL) -> Database:
    """Open a database by its SQLAlchemy URL and bring its tables up to date.

    Raises:
        StoreUnavailable: when it cannot be opened, or was written by a newer version of this
            program; then nothing in it has been changed.
    """
    url = parse_url(url)
    try:
        engine = create_engine(url)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise _invalid_url(error) from error
    path = sqlite_file(engine.url)
    if path is not None:
        _make_private(path)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    database = Database(engine)
    try:
        _open(database, engine.url)
    except StoreUnavailable:
        database.close()
        raise
    return database


def parse_url(url: str | URL) -> URL:
    """Parse a SQLAlchemy URL of a database.

    Raises:
        StoreUnavailable: when it is not one.
    """
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, ModuleNotFoundError) as error:
        raise _invalid_url(error) from error
    return parsed


def _invalid_url(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"Invalid database URL: {error}; expected one whose driver is installed, such as "
        "sqlite:////var/lib/polyprefix/registry.db"
    )


def _make_private(path: Path) -> None:
    """Keep the sha256 of keys from other users; SQLite gives its log the rights of the file."""
    with suppress(OSError):  # SQLite reports what is wrong with the path
        create_private(path)
        for suffix in ("", "-wal", "-shm"):
            tighten(path.with_name(path.name + suffix))


def sqlite_file(url: URL) -> Path | None:
    """Give the file of a SQLite database; None for databases that are not one file."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    assert url.database is not None
    return Path(url.database)


def _configure_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_BEGIN, "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _open(database: Database, url: URL) -> None:
    try:
        _upgrade(database, url)
    except StoreUnavailable:
        # SQLite cannot even read on a full disk: it creates the files of its log first.
        if not database.use_reserve():
            raise
        _upgrade(database, url)


def _upgrade(database: Database, url: URL) -> None:
    config = Config()
    config.set_main_option("script_location", "prefixes.registry:migrations")
    scripts = ScriptDirectory.from_config(config)
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == scripts.get_current_head():
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreUnavailable(
            f"The database {_name(url)} has revision {found!r}, which this version of polyprefix "
            f"does not know; it ends at {scripts.get_current_head()!r}: upgrade polyprefix, or "
            "restore a backup made before the database was upgraded"
        )
    # Of two processes that start at once, the second waits here and then finds nothing to do.
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise  # our own bug, not the database's state
    except (DBAPIError, PoolTimeout) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(reason, "sqlite_errorcode", None)
        kind = StoreFull if code == sqlite3.SQLITE_FULL else StoreUnavailable
        raise kind(
            f"The database {_name(engine.url)} could not be used: {reason}; check that it is "
            "there, writable, not locked by another program, and that its disk has free space"
        ) from error


def _name(url: URL) -> str:
    return url.render_as_string(hide_password=True)
