"""ChangeFeed: follows the changes of a PostgreSQL database, so that results can be cached.

A thread reads the number of the last change several times a second, and at once when the database
notifies it of a change. Notifications only shorten the wait: they may be lost, and a pooler passes
none. The thread alone decides whether the database can be reached.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from prefixes.errors import DatabaseUnreachable, StoreUnavailable
from prefixes.registry.seen_changes import SeenChanges

FRESH_SECONDS: Final = 1.0
"""A number that was read longer ago may be outdated: a result must not be used for it."""
_PAUSE_SECONDS: Final = 0.4
_RETRY_SECONDS: Final = 0.5
_START_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """A connection that follows changes, such as `ChangeConnection`."""

    def read_number(self) -> int: ...
    def wait(self, seconds: float, waker: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Outage:
    """The time in which the database cannot be reached, and why."""

    reason: str
    tolerated_seconds: float
    started_at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.started_at

    @property
    def is_tolerated(self) -> bool:
        """Whether results that were current at its start are still used."""
        return self.seconds < self.tolerated_seconds


class ChangeFeed:
    """The changes that this process has seen. Safe to use from many threads."""

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Listener]],
        read_number: Callable[[], int],
        abort: Callable[[], None],
        *,
        outage_seconds: float,
        seen: SeenChanges,
    ) -> None:
        """Set up.

        Args:
            connect: opens a connection that listens.
            read_number: reads the number of the last change on an ordinary connection, for times
                in which no connection can listen.
            abort: ends the statements that wait for an answer of a server that gives none.
            outage_seconds: how long results are used when the database cannot be reached.
            seen: the numbers of all processes of this server.
        """
        self._connect = connect
        self._read_number = read_number
        self._abort = abort
        self._outage_seconds = outage_seconds
        self._seen = seen
        self._read_at = float("-inf")
        self._outage: Outage | None = None
        self._is_listening = True
        self._decided = threading.Event()
        self._closing = threading.Event()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="database-changes", daemon=True)

    @property
    def outage(self) -> Outage | None:
        """The current outage; None while the database can be reached."""
        return self._outage

    @property
    def number(self) -> int:
        """The number of the latest change that this server has seen."""
        return self._seen.latest()

    def state(self) -> int | None:
        """Return `number` if results that were read at it may be used now, else None."""
        outage = self._outage
        is_fresh = time.monotonic() - self._read_at < FRESH_SECONDS
        if is_fresh or (outage is not None and outage.is_tolerated):
            return self._seen.latest()
        return None

    def start(self) -> None:
        """Start to follow changes. Returns when the number is known, or the database is away."""
        self._thread.start()
        self._decided.wait(_START_SECONDS)

    def close(self) -> None:
        """Stop to follow changes."""
        self._closing.set()
        self.suspect()
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        for end in (self._woken, self._waker):
            end.close()

    def note(self, number: int) -> None:
        """Note a change that this process has committed, or found in the database."""
        self._seen.note(number)

    def suspect(self) -> None:
        """Check at once whether the database can be reached: a statement has failed."""
        with suppress(OSError):  # full: the thread will wake up anyway
            self._waker.send(b"\0")

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._connect() as listener:
                    self._follow(listener)
            except DatabaseUnreachable as error:
                self._lost(error)
                self._abort()
            except StoreUnavailable as error:
                self._poll(error)
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("following the changes of the database failed; will try again")
            self._closing.wait(_RETRY_SECONDS)

    def _follow(self, listener: Listener) -> None:
        while not self._closing.is_set():
            started = time.monotonic()
            self._reached(listener.read_number(), started)
            if not self._is_listening:
                self._is_listening = True
                _log.info("changes of the database are notified again")
            listener.wait(_PAUSE_SECONDS, self._woken.fileno())
            with suppress(BlockingIOError):
                self._woken.recv(4096)

    def _poll(self, problem: StoreUnavailable) -> None:
        """Read the number without listening; if that fails too, the database is away."""
        started = time.monotonic()
        try:
            number = self._read_number()
        except StoreUnavailable as error:
            self._lost(error)
            return
        self._reached(number, started)
        if self._is_listening:
            self._is_listening = False
            _log.warning("changes of the database are polled, not notified: %s", problem)

    def _reached(self, number: int, started: float) -> None:
        self._seen.replace(number, read_at=started)
        self._read_at = started
        outage, self._outage = self._outage, None
        if outage is not None:
            _log.warning("the database is reachable again after %.1f seconds", outage.seconds)
        self._decided.set()

    def _lost(self, error: StoreUnavailable) -> None:
        if self._outage is None:
            self._outage = Outage(str(error), self._outage_seconds)
            _log.error(
                "the database cannot be reached; cached keys and versions are served for up to "
                "%g seconds: %s",
                self._outage_seconds,
                error,
            )
        self._decided.set()
