"""ServerLease: the lease of this process on the jobs that it runs. Other servers respect it.

A server that dies, hangs or loses the database stops extending its lease, and another server takes
its jobs over when it has expired. If both are on one machine, this happens as soon as the process
has ended, since its lock shows that.
"""

import logging
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection

from prefixes.errors import StoreUnavailable
from prefixes.registry import Database
from prefixes.registry.server_leases import (
    LeaseLost,
    OtherLease,
    RequeueHeld,
    end_lease,
    extend_lease,
    keep_lease,
    other_leases,
)
from server.process_locks import ProcessLocks

_TURNS: Final = 4
"""Number of times that a lease is extended before it would expire."""
_MAX_SECONDS_BETWEEN_TURNS: Final = 5.0

_log = logging.getLogger(__name__)


class LeaseMetrics(Protocol):
    """Metrics that the lease reports."""

    def lease_lost(self) -> None: ...
    def jobs_taken_over(self, kind: str, number: int) -> None: ...


class ServerLease:
    """The lease of this process. Safe to use from many threads.

    It is extended while jobs run, so that an idle server writes nothing. Without a database, it
    expires by this machine's clock, so that this server stops before another one begins. A lost
    lease is replaced by a new one, with which later jobs run.
    """

    def __init__(
        self,
        database: Database,
        requeue: Mapping[str, RequeueHeld],
        metrics: LeaseMetrics,
        *,
        seconds: float,
        lock_folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up.

        Args:
            database: the one that all servers share.
            requeue: returns the jobs of a lease to their queue, by kind.
            metrics: counts lost leases and jobs that were taken over.
            seconds: time after which a lease expires that is not extended.
            lock_folder: where processes of this machine show each other that they live.
            clock: seconds that increase evenly.
        """
        self._database = database
        self._requeue = requeue
        self._metrics = metrics
        self._seconds = seconds
        self._locks = ProcessLocks(lock_folder)
        self._clock = clock
        self._host = socket.gethostname()
        self._id = _new_id()
        self._expires = float("-inf")
        self._is_used = False
        self._num_working = 0
        self._changing = threading.Lock()
        self._stopping = threading.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the lease while the block lasts, and take over jobs of ended servers meanwhile."""
        await run_in_threadpool(self._begin)
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            await run_in_threadpool(thread.join)
            await run_in_threadpool(self._end)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Extend the lease while the block lasts. It includes the claim of a job."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def hold(self, connection: Connection) -> str:
        """Return the lease as the holder of a job that is claimed in this transaction."""
        began = self._clock()
        if self._is_used and self._has_expired:
            self._start_over()
        keep_lease(connection, self._id, self._host, seconds=self._seconds)
        if not self._is_used:
            self._is_used, self._expires = True, began + self._seconds
        return self._id

    def check(self, holder: str | None) -> None:
        """Check that a job is still ours, without the database.

        Raises:
            LeaseLost: when another server may run it.
        """
        if holder != self._id or self._has_expired:
            raise LeaseLost(f"the lease {holder} of this server has expired")

    def requeue(self, kind: str) -> None:
        """Return the jobs of a kind to their queue at once. Call it when they have stopped."""
        if not self._is_used:
            return
        try:
            with self._database.write() as connection:
                self._requeue[kind](connection, self._id, is_taken_over=False)
        except StoreUnavailable as error:
            _log.warning("jobs of this server wait until its lease expires: %s", error)

    def turn(self) -> None:
        """Extend or end this lease, and take over the jobs of leases that have ended.

        Raises:
            StoreUnavailable: when the database cannot be used.
        """
        if self._is_used:
            if self._has_expired:
                self._start_over()
            elif self._num_working:
                self._extend()
            else:
                self._give_up()
        self._take_over()

    @property
    def _has_expired(self) -> bool:
        return self._clock() >= self._expires

    def _count(self, change: int) -> None:
        with self._changing:
            self._num_working += change

    def _begin(self) -> None:
        self._locks.take(self._id)
        try:
            self._take_over()
        except StoreUnavailable as error:
            _log.warning("cannot look for jobs of ended servers: %s", error)
        else:
            self._locks.remove_ended()  # no job is left whose server a lock shows to have ended

    def _keep(self) -> None:
        pause = min(self._seconds / _TURNS, _MAX_SECONDS_BETWEEN_TURNS)
        while not self._stopping.wait(pause):
            try:
                self.turn()
            except StoreUnavailable as error:
                _log.warning("cannot extend the lease on running jobs: %s", error)
            except Exception:  # noqa: BLE001 - the top of a thread: the next turn may succeed
                _log.exception("the lease on running jobs could not be extended")

    def _extend(self) -> None:
        began = self._clock()
        with self._database.write_activity() as connection:
            is_extended = extend_lease(connection, self._id, seconds=self._seconds)
        if is_extended:
            self._expires = began + self._seconds
        else:
            self._start_over()

    def _start_over(self) -> None:
        """Replace a lost lease. This server or another one takes over the jobs that it holds."""
        with self._changing:
            self._id, self._is_used = _new_id(), False
        self._metrics.lease_lost()
        _log.warning("this server has lost its lease: other servers may run its jobs")
        self._locks.take(self._id)

    def _give_up(self) -> None:
        """End the lease of an idle server."""
        with self._database.write_activity() as connection:
            if self._num_working:
                return  # it claims a job: its transaction comes before this one or after it
            self._end_in(connection, self._id, is_taken_over=False)
            self._is_used = False

    def _end(self) -> None:
        """End the lease of a server that stops."""
        try:
            if self._is_used:
                with self._database.write() as connection:
                    self._end_in(connection, self._id, is_taken_over=False)
        except StoreUnavailable as error:  # the lock stays, which shows that this process ends
            _log.warning("jobs of this server wait until its lease expires: %s", error)
        else:
            self._locks.release()

    def _take_over(self) -> None:
        with self._database.read() as connection:
            if not self._ended(connection):
                return  # most turns end here, and take no lock
        with self._database.write() as connection:
            for lease in self._ended(connection):
                is_dead = self._is_dead(lease)
                self._end_in(connection, lease.id, is_taken_over=not is_dead, by_other=True)

    def _ended(self, connection: Connection) -> list[OtherLease]:
        others = other_leases(connection, self._id)
        return [lease for lease in others if lease.is_expired or self._is_dead(lease)]

    def _is_dead(self, lease: OtherLease) -> bool:
        return lease.host == self._host and self._locks.has_ended(lease.id)

    def _end_in(
        self, connection: Connection, lease_id: str, *, is_taken_over: bool, by_other: bool = False
    ) -> None:
        for kind, requeue in self._requeue.items():
            number = requeue(connection, lease_id, is_taken_over=is_taken_over)
            if number and by_other:
                self._metrics.jobs_taken_over(kind, number)
                _log.warning("took over %d %s of an ended server", number, kind)
        end_lease(connection, lease_id)


def _new_id() -> str:
    return secrets.token_hex(8)
