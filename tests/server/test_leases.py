"""Leases of servers that share a database: in SQLite, and in a real PostgreSQL."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from prefixes.registry import Database, PrefixRegistry, open_registry
from prefixes.registry.server_leases import LeaseLost
from prefixes.registry.tables import server_leases
from server.job_ids import new_id
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.process_locks import ProcessLock, ProcessLocks, has_ended
from server.training_jobs.records import JobRequest, TrainingJob
from server.training_jobs.requeueing import requeue_held
from server.training_jobs.store import TrainingStore
from tests.prefixes.holding import expire_leases

pytestmark = pytest.mark.anyio

_SECONDS = 60.0


class World:
    """Two servers, `one` and `two`, whose own clocks are set by the test."""

    def __init__(self, registry: PrefixRegistry, folder: Path) -> None:
        self.database: Database = registry.database
        self.folder = folder
        self.moment = 0.0
        self.store = TrainingStore(
            registry.database, max_queued=9, max_kept_per_tenant=9, default_limits={}
        )
        self.metrics = Metrics()
        self.one, self.two = self.server(), self.server(folder / "elsewhere")

    def server(self, lock_folder: Path | None = None) -> ServerLease:
        return ServerLease(
            self.database,
            {"trainings": requeue_held},
            self.metrics,
            seconds=_SECONDS,
            lock_folder=lock_folder or self.folder,
            clock=lambda: self.moment,
        )

    def add(self) -> None:
        self.store.add(new_id(), JobRequest("acme", "mood", "live", 0.0, {}))

    def claim(self, lease: ServerLease) -> TrainingJob:
        found = self.store.claim(lease.hold)
        assert found is not None
        return found

    def expire(self) -> None:
        expire_leases(self.database)

    def num_leases(self) -> int:
        with self.database.read() as connection:
            return len(connection.execute(select(server_leases)).all())

    async def counted(self) -> str:
        return (await self.metrics.exposition()).decode()


@pytest.fixture
def world(tmp_path: Path, database_url: str | None) -> Iterator[World]:
    registry = open_registry(tmp_path / "store", database_url=database_url)
    registry.ensure_tenant("acme")
    yield World(registry, tmp_path / "servers")
    registry.close()


async def test_a_job_is_taken_over_when_its_lease_has_expired_and_not_before(world: World) -> None:
    world.add()
    with world.one.working():
        lost = world.claim(world.one)
        world.two.turn()
        assert world.store.find("acme", lost.id).holder == lost.holder
        world.expire()
        world.two.turn()
        again = world.claim(world.two)
        assert (again.id, again.is_taken_over) == (lost.id, True)
        world.one.turn()
        with pytest.raises(LeaseLost):
            world.one.check(lost.holder)
    assert 'jobs_taken_over_total{kind="trainings"} 1.0' in await world.counted()
    assert "polyprefix_leases_lost_total 1.0" in await world.counted()


@pytest.mark.parametrize(
    "change",
    [
        lambda store, job: store.finish(job, "succeeded", result={}),
        lambda store, job: store.requeue(job),
        lambda store, job: store.note_crash(job),
        lambda store, job: store.note_own_folder(job),
        lambda store, job: store.add_cpu_time(job, 1.0),
        lambda store, job: store.is_cancelling(job),
    ],
)
async def test_a_server_that_has_lost_a_job_changes_nothing(
    world: World, change: Callable[[TrainingStore, TrainingJob], object]
) -> None:
    world.add()
    lost = world.claim(world.one)
    world.expire()
    world.two.turn()
    again = world.claim(world.two)
    with pytest.raises(LeaseLost):
        change(world.store, lost)
    assert world.store.find("acme", lost.id) == again


async def test_a_lease_is_extended_while_jobs_run_and_ends_with_them(world: World) -> None:
    world.add()
    with world.one.working():
        job = world.claim(world.one)
        for _ in range(4):
            world.moment += _SECONDS / 2
            world.one.turn()
            world.one.check(job.holder)
        world.store.finish(job, "cancelled")
    assert world.num_leases() == 1
    world.one.turn()
    assert world.num_leases() == 0


async def test_without_a_database_a_lease_expires_by_the_clock_of_its_server(world: World) -> None:
    world.add()
    with world.one.working():
        job = world.claim(world.one)
        world.moment += _SECONDS
        with pytest.raises(LeaseLost):
            world.one.check(job.holder)
        world.expire()
        world.one.turn()  # nobody has taken it over: this server does
        again = world.claim(world.one)
        assert (again.id, again.is_taken_over) == (job.id, True)
        world.one.check(again.holder)


async def test_jobs_return_to_the_queue_at_once_when_a_server_stops(world: World) -> None:
    world.add()
    async with world.one.running():
        job = world.claim(world.one)
        world.one.requeue("trainings")
        assert world.store.find("acme", job.id).state == "queued"
        world.claim(world.one)
    assert world.num_leases() == 0
    again = world.claim(world.two)
    assert not again.is_taken_over


async def test_jobs_of_a_process_that_has_ended_are_taken_over_at_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add()
    monkeypatch.setattr(ServerLease, "_end", lambda lease: _unlock(lease._locks._lock))
    async with world.one.running():
        job = world.claim(world.one)
        async with world.server().running():
            assert world.store.find("acme", job.id).state == "running"
    async with world.server().running():
        found = world.store.find("acme", job.id)
        assert (found.state, found.is_taken_over) == ("queued", False)


def _unlock(lock: ProcessLock) -> None:
    """Do what the kernel does when a process is killed."""
    os.close(lock._descriptor)


def test_a_lock_shows_whether_its_process_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "servers" / "one"
    assert not has_ended(path)
    lock = ProcessLock.take(path)
    assert not has_ended(path)
    _unlock(lock)
    assert has_ended(path)
    ProcessLock.take(path).release()
    assert not path.exists()


def test_a_file_that_is_removed_as_it_is_locked_is_created_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "servers" / "one"
    flock = fcntl.flock
    removed: list[bool] = []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(True)
            ProcessLocks(path.parent).remove_ended()
            assert not path.exists()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    lock = ProcessLock.take(path)
    assert path.exists()
    ProcessLocks(path.parent).remove_ended()
    assert path.exists()
    lock.release()
