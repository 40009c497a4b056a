"""ChangeConnection: reads the number of the last change of PostgreSQL, and waits for the next.

It has a connection of its own, because a notification arrives only where `LISTEN` was sent. It
talks to the driver's low level, because that alone has a time limit for each answer: a server
whose machine is gone, or whose process hangs, does not report an error.
"""

import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, cast

import psycopg
from psycopg.pq.abc import PGresult
from sqlalchemy import Engine

from prefixes.errors import DatabaseUnreachable, StoreUnavailable
from prefixes.registry.postgresql import LISTEN_TO_CHANGES, READ_CHANGE_NUMBER, timeouts_of

_CONNECT_SECONDS: Final = 2
_ANSWER_SECONDS: Final = 2.0
_DONE: Final = frozenset({psycopg.pq.ExecStatus.COMMAND_OK, psycopg.pq.ExecStatus.TUPLES_OK})


class ChangeConnection:
    """An open connection. Belongs to one thread.

    Every method raises DatabaseUnreachable when the server does not answer in time, and
    StoreUnavailable when it rejects or closes the connection.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._low_level = connection.pgconn

    @classmethod
    @contextmanager
    def to(cls, engine: Engine) -> Iterator[Self]:
        """Connect to the database of an engine, and listen for as long as the context lasts."""
        arguments, options = engine.dialect.create_connect_args(engine.url)
        limits = {**timeouts_of(engine.url), "connect_timeout": _CONNECT_SECONDS}
        with _explained():
            opened = engine.dialect.connect(*arguments, **{**limits, **options}, autocommit=True)
        try:
            connection = cls(cast("psycopg.Connection[Any]", opened))
            connection._query(LISTEN_TO_CHANGES)
            yield connection
        finally:
            opened.close()

    def read_number(self) -> int:
        """Return the number of the last change."""
        (result,) = self._query(READ_CHANGE_NUMBER)
        value = result.get_value(0, 0)
        if value is None:
            raise StoreUnavailable("The table registry_state has no row: restore it from a backup")
        return int(value)

    def wait(self, seconds: float, waker: int) -> None:
        """Wait for a change, for input at the file descriptor `waker`, or for this time."""
        self._wait_for_input(seconds, waker)
        with _explained():
            self._low_level.consume_input()
            while self._low_level.notifies():
                pass

    def _query(self, statement: str) -> list[PGresult]:
        end = time.monotonic() + _ANSWER_SECONDS
        with _explained():
            self._low_level.send_query(statement.encode())
            self._low_level.flush()
            results = list(iter(lambda: self._next_result(end), None))
            for result in results:
                if result.status not in _DONE:
                    raise psycopg.errors.error_from_result(result)
        return results

    def _next_result(self, end: float) -> PGresult | None:
        while self._low_level.is_busy():
            remaining = end - time.monotonic()
            if remaining <= 0:
                raise DatabaseUnreachable(f"no answer within {_ANSWER_SECONDS:g} seconds")
            self._wait_for_input(remaining)
            self._low_level.consume_input()
        return self._low_level.get_result()

    def _wait_for_input(self, seconds: float, *others: int) -> None:
        # Unlike `select`, it has no limit on the numbers of file descriptors.
        with selectors.DefaultSelector() as selector:
            for file in (self._low_level.socket, *others):
                selector.register(file, selectors.EVENT_READ)
            selector.select(seconds)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors of the driver into errors of the store."""
    try:
        yield
    except psycopg.errors.ConnectionTimeout as error:
        raise DatabaseUnreachable(str(error)) from error
    except psycopg.Error as error:
        raise StoreUnavailable(" ".join(str(error).split())) from error
