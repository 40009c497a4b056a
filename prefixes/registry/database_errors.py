"""Errors of the database's driver, as errors of the store."""

import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from prefixes.errors import DatabaseUnreachable, StoreFull, StoreUnavailable
from prefixes.registry import postgresql
from prefixes.registry.sqlite import BUSY_SECONDS


def is_bug(error: DBAPIError | PoolTimeout) -> bool:
    """Return whether an error is this program's own, and the database itself is fine."""
    if isinstance(error, ProgrammingError):
        return not postgresql.is_of_setup(error.orig)
    return isinstance(error, IntegrityError)


def is_of_text(error: DBAPIError | PoolTimeout) -> bool:
    """Return whether PostgreSQL rejects a text because of the character NUL."""
    return isinstance(error, DataError) and "NUL" in str(error.orig)


def store_error(error: DBAPIError | PoolTimeout, url: URL) -> StoreUnavailable:
    """Describe an error that is not a bug."""
    reason = error.orig if isinstance(error, DBAPIError) else error
    if postgresql.is_busy(reason):
        return busy(url)
    what = " ".join(str(reason).split())  # a driver may report it in several lines
    return _kind_of(error, url)(
        f"The database {name_of(url)} could not be used: {what}; {_advice(url)}"
    )


def busy(url: URL) -> StoreUnavailable:
    """Make the error for a change that waited too long for other changes."""
    return StoreUnavailable(
        f"The database {name_of(url)} was busy with other changes for {BUSY_SECONDS} seconds: "
        "try again later"
    )


def name_of(url: URL) -> str:
    """Return a URL without its password, for messages."""
    return url.render_as_string(hide_password=True)


def _kind_of(error: DBAPIError | PoolTimeout, url: URL) -> type[StoreUnavailable]:
    if isinstance(error, PoolTimeout):
        return StoreUnavailable
    is_full = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if is_full or postgresql.is_disk_full(error.orig):
        return StoreFull
    is_away = not _is_sqlite(url) and postgresql.is_unreachable(error)
    return DatabaseUnreachable if is_away else StoreUnavailable


def _advice(url: URL) -> str:
    if _is_sqlite(url):
        return (
            "check that it exists, is writable and not locked by another program, and that "
            "its disk has free space"
        )
    return "check that the server runs, accepts this user, and has free disk space"


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
