"""PostgreSQL's part of a database: its connections, the lock of writers, and its errors."""

from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, event

from prefixes.registry.sqlite import BUSY_SECONDS

DRIVER: Final = "postgresql+psycopg"

_WRITES: Final = "registry_writes"
_LOCK: Final = 0x706F6C79  # "poly": the key of the lock in this database
_BUSY: Final = "55P03"
_DISK_FULL: Final = "53100"
_SETUP_ERRORS: Final = frozenset({
    "25006",  # a standby, which is read-only
    "3F000",  # no schema to create tables in
    "42501",  # the user lacks a right, such as to create tables
    "42P01",  # a table was dropped
})  # fmt: skip
# A server that vanished is noticed. Without this a connection waits for hours.
_TIMEOUTS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}


def with_driver(url: URL) -> URL:
    """Name the driver in a URL that names PostgreSQL alone."""
    return url.set(drivername=DRIVER) if url.drivername in {"postgres", "postgresql"} else url


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options of `create_engine`.

    A reader sees one consistent state. A connection is tested before use, so that a restart of the
    server goes unnoticed.
    """
    timeouts = {name: value for name, value in _TIMEOUTS.items() if name not in url.query}
    return {
        "isolation_level": "REPEATABLE READ",
        "pool_pre_ping": True,
        "connect_args": timeouts if url.drivername == DRIVER else {},
    }


def configure(engine: Engine) -> None:
    """Take the lock when a transaction of `for_writing` begins."""
    event.listen(engine, "begin", _begin)


def for_writing(engine: Engine) -> Engine:
    """Return the engine with transactions that exclude each other, in all processes.

    The lock ends with the transaction or with the connection. Each statement sees what was
    committed before it. A snapshot of the whole transaction would be taken before the lock, and
    miss the changes of the writer that held it.
    """
    return engine.execution_options(isolation_level="READ COMMITTED", **{_WRITES: True})


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql(
            f"SET LOCAL lock_timeout = {BUSY_SECONDS * 1000}; SELECT pg_advisory_xact_lock({_LOCK})"
        )


def is_busy(reason: object) -> bool:
    """Return whether an error says that another transaction held a lock for too long."""
    return getattr(reason, "sqlstate", None) == _BUSY


def is_disk_full(reason: object) -> bool:
    """Return whether an error says that the server's disk is full."""
    return getattr(reason, "sqlstate", None) == _DISK_FULL


def is_of_setup(reason: object) -> bool:
    """Return whether an error of a statement concerns the database and not this program."""
    return getattr(reason, "sqlstate", None) in _SETUP_ERRORS
