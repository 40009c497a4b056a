"""PostgreSQL as the registry's database: writers of several processes, and faults of the server."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from prefixes.errors import InvalidText, StoreFull, StoreUnavailable
from prefixes.local_store import LocalStore
from prefixes.registry import PrefixRegistry, open_database, open_registry, postgresql
from prefixes.registry.tables import now, tenants
from tests.postgresql import PostgresServer, start_postgresql
from tests.prefixes import racing
from tests.prefixes.conftest import on_postgresql
from tests.prefixes.publishing import publish
from tests.prefixes.racing import RaceReport, open_and_count, race, without_bytes

ROUNDS = 25


@pytest.fixture
def url(postgresql: PostgresServer) -> Iterator[str]:
    """The URL of a database without tables."""
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    server = start_postgresql()
    yield server
    server.remove()


@pytest.fixture
def context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([racing.__name__])
    return context


def in_processes(
    context: ForkServerContext, function: Callable[..., None], *calls: tuple[object, ...]
) -> list[Any]:
    """Call a function in a process for each tuple of arguments; return their answers."""
    started = []
    for arguments in calls:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=function, args=(*arguments, sending))
        process.start()
        sending.close()
        started.append((process, receiving))
    answers = [receiving.recv() for _, receiving in started]
    for process, _ in started:
        process.join()
    return answers


@on_postgresql
def test_racing_processes_lose_no_change_and_no_bytes(
    registry: PrefixRegistry, tmp_path: Path, database_url: str, context: ForkServerContext
) -> None:
    for description in ("one", "two"):
        publish(registry, "acme", "topic", description)
    folder = tmp_path / "registry"
    calls = [(folder, database_url, name, ROUNDS) for name in ("ada", "bob")]
    reports: list[RaceReport] = in_processes(context, race, *calls)

    assert [report.problems for report in reports] == [[], []]
    assert [report.missing for report in reports] == [set(), set()]
    assert without_bytes(registry) == set()
    for (_, _, name, _), report in zip(calls, reports, strict=True):
        versions = registry.show("acme", name, reader="acme").versions
        assert {version.number for version in versions} >= set(report.published)
        assert report.published
        for version in versions:
            assert len(registry.store.get(version.digest)) == version.size_bytes
    moves = registry.show("acme", "topic", reader="acme").aliases[-1].moves
    # Each racer moves the alias to and fro, so at least one move lies between two of its own. The
    # other racer may have made it: a move to the current version is not recorded.
    assert len(moves) >= max(report.num_moves for report in reports)
    assert all(move.from_version == former.to_version for former, move in pairwise(moves))


def test_processes_that_start_at_once_create_the_tables_once(
    url: str, tmp_path: Path, context: ForkServerContext
) -> None:
    assert in_processes(context, open_and_count, *[(tmp_path, url)] * 3) == [1, 1, 1]


@on_postgresql
def test_a_writer_waits_for_a_writer_of_another_process(
    registry: PrefixRegistry, database_url: str
) -> None:
    other = open_database(database_url)
    seen: list[str] = []

    def write() -> None:
        with other.write() as connection:
            seen.extend(connection.scalars(select(tenants.c.name)))

    with registry.database.write() as connection:
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
        connection.execute(tenants.insert().values(name="late", is_public=False, created_at=now()))
    waiting.join()
    other.close()
    assert "late" in seen  # it waited, and then saw what was committed meanwhile


@on_postgresql
def test_a_writer_gives_up_after_some_time(
    registry: PrefixRegistry, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "BUSY_SECONDS", 0.2)
    other = open_database(database_url)
    with (
        registry.database.write(),
        pytest.raises(StoreUnavailable, match="was busy with other changes"),
        other.write(),
    ):
        pass
    with other.write_activity():  # nothing is left of the attempt
        pass
    other.close()


@on_postgresql
def test_a_reader_keeps_its_state_while_a_writer_changes_it(
    registry: PrefixRegistry, database_url: str
) -> None:
    count = text("SELECT count(*) FROM tenants")
    with registry.database.read() as connection:
        before = connection.scalar(count)
        registry.ensure_tenant("newcomer")
        assert connection.scalar(count) == before


@on_postgresql
def test_times_are_in_utc_whatever_the_zone_of_the_server(
    registry: PrefixRegistry, database_url: str
) -> None:
    with registry.database.read() as connection:
        assert connection.scalar(text("SHOW timezone")) == "Asia/Kolkata"
    created = registry.tenant("acme").created_at
    assert created.tzinfo is UTC
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600


def test_a_server_that_was_away_is_used_again_without_reopening(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    registry = open_registry(tmp_path, database_url=own_server.url())
    registry.ensure_tenant("acme")
    with registry.database.read():
        registry.tenants()  # two idle connections, both of which the server will close
    own_server.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"could not be used.*check that the server"):
            registry.tenants()
        with pytest.raises(StoreUnavailable, match="could not be used"):
            registry.ensure_tenant("globex")
    own_server.start()
    assert [tenant.name for tenant in registry.tenants()] == ["acme"]
    publish(registry, "acme", "topic", "one")
    assert len(registry.show("acme", "topic", reader="acme").versions) == 1
    registry.close()


def test_a_change_that_was_interrupted_is_not_made(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    registry = open_registry(tmp_path, database_url=own_server.url())

    def change() -> None:
        lost = tenants.insert().values(name="lost", is_public=False, created_at=now())
        with registry.database.write() as connection:
            connection.execute(lost)
            own_server.stop()

    with pytest.raises(StoreUnavailable, match="could not be used"):
        change()
    own_server.start()
    assert registry.tenants() == ()
    registry.close()


def test_a_server_that_does_not_run_is_reported(own_server: PostgresServer) -> None:
    own_server.stop()
    with pytest.raises(StoreUnavailable, match=r"refused.*accepts this user"):
        open_database(own_server.url())


def test_a_user_without_rights_is_reported(postgresql: PostgresServer, url: str) -> None:
    name = f"reader_{url.rpartition('_')[2]}"
    postgresql.execute(f"CREATE ROLE {name} LOGIN")
    try:
        with pytest.raises(StoreUnavailable, match="permission denied for schema public"):
            open_database(url.replace("polyprefix@", f"{name}@"))
    finally:
        postgresql.execute(f"DROP ROLE {name}")


@on_postgresql
def test_bytes_that_are_published_while_their_deletion_loses_its_lock_are_kept(
    registry: PrefixRegistry, tmp_path: Path, database_url: str, postgresql: PostgresServer
) -> None:
    other = open_registry(tmp_path / "registry", database_url=database_url)
    locked = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        f"AND database = (SELECT oid FROM pg_database WHERE datname = '{database_url[-37:]}')"
    )

    class StoreOfSlowDeletions(LocalStore):
        def delete(self, digest: str) -> None:
            postgresql.execute(locked)
            publish(other, "acme", "tone", "same")
            super().delete(digest)

    publish(registry, "acme", "topic", "other")
    version = publish(registry, "acme", "topic", "same").version
    registry.store = StoreOfSlowDeletions(tmp_path / "registry")
    registry.remove_version("acme", "topic", version.number)
    (kept,) = other.show("acme", "tone", reader="acme").versions
    assert kept.digest == version.digest
    assert len(other.store.get(kept.digest)) == kept.size_bytes
    other.close()


@on_postgresql
@pytest.mark.parametrize("seconds", ["_READ_SECONDS", "_WRITE_SECONDS"])
def test_a_statement_ends_in_time(
    registry: PrefixRegistry, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setattr(postgresql, seconds, 0.1)
    database = registry.database
    opened = database.read if seconds == "_READ_SECONDS" else database.write
    with pytest.raises(StoreUnavailable, match="statement timeout"), opened() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")


@on_postgresql
def test_a_change_that_idles_loses_its_lock(
    registry: PrefixRegistry, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "_WRITE_SECONDS", 0.5)
    other = open_database(database_url)
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")

    def is_alive(pid: int) -> bool:
        with other.read() as connection:
            return bool(connection.scalar(alive, {"pid": pid}))

    def idle() -> None:
        late = tenants.insert().values(name="late", is_public=False, created_at=now())
        with registry.database.write() as connection:
            connection.execute(late)
            pid: int = connection.scalar(text("SELECT pg_backend_pid()"))
            while is_alive(pid):
                time.sleep(0.01)

    with pytest.raises(StoreUnavailable):
        idle()
    with other.write():
        pass
    other.close()
    assert "late" not in [tenant.name for tenant in registry.tenants()]


@on_postgresql
def test_a_text_with_nul_is_an_error_of_its_own(registry: PrefixRegistry) -> None:
    with pytest.raises(InvalidText, match="character NUL"), registry.database.read() as connection:
        connection.execute(select(tenants).where(tenants.c.name == "a\0"))


@on_postgresql
def test_a_full_disk_of_the_server_is_an_error_of_its_own(
    registry: PrefixRegistry, database_url: str
) -> None:
    raise_it = "DO $$ BEGIN RAISE 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(StoreFull, match="no space left"), registry.database.write() as connection:
        connection.exec_driver_sql(raise_it)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_need_not_name_the_driver(url: str, scheme: str) -> None:
    database = open_database(url.replace("postgresql", scheme))
    assert database.name.startswith("postgresql+psycopg://")
    database.close()


def test_other_databases_are_rejected() -> None:
    with pytest.raises(StoreUnavailable, match=r"mysql is not supported.*expected.*postgresql://"):
        open_database("mysql://localhost/registry")
