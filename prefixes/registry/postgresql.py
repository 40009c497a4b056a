"""PostgreSQL's part of a database: its connections, the lock of writers, and its errors."""

from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from prefixes.registry.sqlite import BUSY_SECONDS

DRIVER: Final = "postgresql+psycopg"
LISTEN_TO_CHANGES: Final = "LISTEN polyprefix_changes"
READ_CHANGE_NUMBER: Final = "SELECT change_number FROM registry_state"

# A transaction that changes no row has no id. The clock makes the numbers unique: a standby that
# takes over without the last changes does not use their numbers for others.
_COUNT_CHANGE: Final = """
    WITH changed AS (
        UPDATE registry_state
        SET change_number = greatest(
            change_number + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        )
        WHERE txid_current_if_assigned() IS NOT NULL
        RETURNING change_number
    )
    SELECT change_number, pg_notify('polyprefix_changes', '') FROM changed
"""
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
_ENDED: Final = frozenset({
    "57P01",  # an administrator ended the connection or the server
    "57P02",  # the server crashed
    "57P03",  # the server starts, stops or recovers
})  # fmt: skip
# A server that vanished is noticed. Without this a connection waits for hours.
_TIMEOUTS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
_READ_SECONDS: Final = 30
_WRITE_SECONDS: Final = 60


def with_driver(url: URL) -> URL:
    """Name the driver in a URL that names PostgreSQL alone."""
    return url.set(drivername=DRIVER) if url.drivername in {"postgres", "postgresql"} else url


def engine_options(url: URL) -> dict[str, Any]:
    """Return the options of `create_engine`.

    A reader sees one consistent state. A connection is tested before use, so that a restart of the
    server goes unnoticed.
    """
    # Poolers may pass the statements of a connection to several ones of the server, and a prepared
    # statement is known to one of them only.
    unprepared = {"prepare_threshold": None}
    return {
        "isolation_level": "REPEATABLE READ",
        "pool_pre_ping": True,
        "connect_args": timeouts_of(url) | unprepared if url.drivername == DRIVER else {},
    }


def timeouts_of(url: URL) -> dict[str, int]:
    """Return the limits of time of a connection, except those that its URL sets."""
    return {name: value for name, value in _TIMEOUTS.items() if name not in url.query}


def configure(engine: Engine) -> None:
    """Limit the time of each transaction, and take the lock when one of `for_writing` begins."""
    event.listen(engine, "begin", _begin)


def for_writing(engine: Engine) -> Engine:
    """Return the engine with transactions that exclude each other, in all processes.

    The lock ends with the transaction or with the connection. Each statement sees what was
    committed before it. A snapshot of the whole transaction would be taken before the lock, and
    miss the changes of the writer that held it.
    """
    return engine.execution_options(isolation_level="READ COMMITTED", **{_WRITES: True})


def _begin(connection: Connection) -> None:
    # Local settings, which do not outlive the transaction where a pooler shares connections.
    if not connection.get_execution_options().get(_WRITES, False):
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {_READ_SECONDS * 1000:.0f}")
        return
    connection.exec_driver_sql(
        f"SET LOCAL statement_timeout = {_WRITE_SECONDS * 1000:.0f};"
        # The server notices only after hours that the machine of a writer vanished.
        f"SET LOCAL idle_in_transaction_session_timeout = {_WRITE_SECONDS * 1000:.0f};"
        f"SET LOCAL lock_timeout = {BUSY_SECONDS * 1000:.0f};"
        f"SELECT pg_advisory_xact_lock({_LOCK})"
    )


def lift_time_limits(connection: Connection) -> None:
    """Let a transaction take any time: an upgrade may rewrite large tables."""
    connection.exec_driver_sql(
        "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
    )


def count_change(connection: Connection) -> int | None:
    """Count the transaction as a change, and notify others of it when it is committed.

    Returns the number of the change, or None if no row was changed.
    """
    number: int | None = connection.exec_driver_sql(_COUNT_CHANGE).scalar()
    return number


def is_unreachable(error: DBAPIError) -> bool:
    """Return whether an error says that the server cannot be reached, or is starting or stopping.

    A rejected connection counts: the driver reports it without a code.
    """
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError)
    return state.startswith("08") or state in _ENDED


def is_busy(reason: object) -> bool:
    """Return whether an error says that another transaction held a lock for too long."""
    return getattr(reason, "sqlstate", None) == _BUSY


def is_disk_full(reason: object) -> bool:
    """Return whether an error says that the server's disk is full."""
    return getattr(reason, "sqlstate", None) == _DISK_FULL


def is_of_setup(reason: object) -> bool:
    """Return whether an error of a statement concerns the database and not this program."""
    return getattr(reason, "sqlstate", None) in _SETUP_ERRORS
