"""Changes of PostgreSQL as other processes see them, and results during an outage."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.errors import DatabaseUnreachable, StoreUnavailable
from prefixes.registry import Actor, ApiKeys, PrefixRegistry, Target, change_feed, open_registry
from prefixes.registry.change_connection import ChangeConnection
from tests.postgresql import PostgresServer, start_postgresql
from tests.prefixes.conftest import on_postgresql
from tests.prefixes.publishing import publish

LIVE = PrefixRef("acme", "topic", alias="live")
BY = Actor("ada")


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    server = start_postgresql()
    yield server
    server.remove()


@pytest.fixture
def served(own_server: PostgresServer, tmp_path: Path) -> Iterator[PrefixRegistry]:
    """A registry with `acme/topic@1` that is served for an hour while its server is away."""
    registry = open_registry(tmp_path / "registry", database_url=own_server.url())
    registry.ensure_tenant("acme")
    publish(registry, "acme", "topic", "one")
    registry.database.follow_changes(outage_seconds=3600)
    yield registry
    registry.close()


@pytest.fixture
def other(registry: PrefixRegistry, tmp_path: Path, database_url: str) -> Iterator[PrefixRegistry]:
    """The registry as a command opens it: it follows no changes."""
    other = open_registry(tmp_path / "registry", database_url=database_url)
    yield other
    other.close()


def until_state_differs(registry: PrefixRegistry, state: int | None) -> None:
    while registry.database.state() in {state, None}:
        time.sleep(0.005)


def until_away(registry: PrefixRegistry) -> None:
    while registry.database.outage is None:
        time.sleep(0.005)


def until_back(registry: PrefixRegistry) -> None:
    while registry.database.outage is not None:
        time.sleep(0.005)


def backends(database_url: str, statement: str) -> str:
    """Return a query that ends the connections of a database whose last statement is this one."""
    name = database_url.rpartition("/")[2]
    return (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND query LIKE '{statement}%'"
    )


@on_postgresql
def test_a_change_of_another_process_is_seen_without_asking(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    registry.database.follow_changes()
    publish(registry, "acme", "topic", "one")
    registry.resolve([LIVE], reader="acme")
    state = registry.database.state()
    second = publish(other, "acme", "topic", "two", alias="live").version
    until_state_differs(registry, state)
    assert registry.recall([LIVE], reader="acme") is None
    assert registry.resolve([LIVE], reader="acme") == {LIVE: Target(second)}
    assert registry.recall([LIVE], reader="acme") == {LIVE: Target(second)}


@on_postgresql
def test_changes_are_seen_without_notifications(
    registry: PrefixRegistry, other: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a pooler that shares connections between transactions."""
    monkeypatch.setattr("prefixes.registry.change_connection.LISTEN_TO_CHANGES", "SELECT 1")
    registry.database.follow_changes()
    state = registry.database.state()
    other.ensure_tenant("initech")
    until_state_differs(registry, state)


@on_postgresql
def test_changes_are_seen_where_no_connection_can_listen(
    registry: PrefixRegistry, other: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefixes.registry.change_connection.LISTEN_TO_CHANGES", "LISTEN 1")
    registry.database.follow_changes()
    state = registry.database.state()
    assert state is not None
    other.ensure_tenant("initech")
    until_state_differs(registry, state)
    assert registry.database.outage is None


@on_postgresql
def test_changes_are_seen_after_the_listening_connection_was_ended(
    registry: PrefixRegistry,
    other: PrefixRegistry,
    postgresql: PostgresServer,
    database_url: str,
) -> None:
    registry.database.follow_changes()
    for name in ("initech", "umbrella"):
        postgresql.execute(backends(database_url, "SELECT change_number"))
        state = registry.database.state()
        other.ensure_tenant(name)
        until_state_differs(registry, state)
        assert registry.database.outage is None


@on_postgresql
def test_ended_connections_are_replaced(
    registry: PrefixRegistry, postgresql: PostgresServer, database_url: str
) -> None:
    registry.database.follow_changes()
    publish(registry, "acme", "topic", "one")
    postgresql.execute(backends(database_url, ""))
    assert registry.resolve([LIVE], reader="acme")[LIVE].stable.number == 1
    registry.ensure_tenant("initech")


@on_postgresql
def test_a_number_that_is_not_confirmed_for_a_second_is_not_used(
    registry: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.database.follow_changes()
    assert registry.database.state() is not None
    hanging = threading.Event()

    def hang(*_: object) -> int:
        hanging.wait()
        raise StoreUnavailable("it hung")

    monkeypatch.setattr(ChangeConnection, "read_number", hang)
    while registry.database.state() is not None:
        time.sleep(0.005)
    publish(registry, "acme", "topic", "one")
    registry.resolve([LIVE], reader="acme")  # reads the database
    assert registry.recall([LIVE], reader="acme") is None
    hanging.set()


@on_postgresql
def test_the_number_of_a_change_is_known_where_it_was_made(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    registry.database.follow_changes()
    other.database.follow_changes()
    publish(registry, "acme", "topic", "one")
    before = registry.database.change_number
    registry.promote("acme", "topic", "next", 1, by=BY)
    number = registry.database.change_number
    assert number is not None
    assert before is not None
    assert number > before
    assert other.database.catch_up(number)
    assert not other.database.catch_up(number + 1)


def test_results_are_served_while_the_database_is_away(
    own_server: PostgresServer, served: PrefixRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    keys = ApiKeys(served.database)
    key = keys.issue("acme", "laptop").key
    owner = keys.authenticate(key)
    resolved = served.resolve([LIVE], reader="acme")
    own_server.kill()
    until_away(served)
    assert keys.recall(key) == owner
    assert served.recall([LIVE], reader="acme") == resolved
    with pytest.raises(DatabaseUnreachable, match="has been unreachable for"):
        served.resolve([PrefixRef("acme", "other", alias="live")], reader="acme")
    with pytest.raises(DatabaseUnreachable):
        served.ensure_tenant("globex")
    own_server.start()
    until_back(served)
    assert [tenant.name for tenant in served.tenants()] == ["acme"]
    assert served.ensure_tenant("globex").name == "globex"
    assert served.recall([LIVE], reader="acme") is None
    assert "the database cannot be reached" in caplog.text
    assert "the database is reachable again" in caplog.text


def test_results_are_not_served_longer_than_set(own_server: PostgresServer, tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry", database_url=own_server.url())
    registry.ensure_tenant("acme")
    publish(registry, "acme", "topic", "one")
    registry.database.follow_changes(outage_seconds=0)
    registry.resolve([LIVE], reader="acme")
    own_server.kill()
    until_away(registry)
    while registry.database.state() is not None:  # for a second, the number is fresh
        time.sleep(0.005)
    with pytest.raises(DatabaseUnreachable):
        registry.resolve([LIVE], reader="acme")
    registry.close()


def test_a_server_that_hangs_counts_as_away(
    own_server: PostgresServer, served: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = served.resolve([LIVE], reader="acme")
    problems: list[StoreUnavailable] = []

    def read() -> None:
        try:
            served.tenants()
        except StoreUnavailable as error:
            problems.append(error)

    with own_server.suspended():
        waiting = threading.Thread(target=read)
        waiting.start()
        until_away(served)
        waiting.join()
        assert len(problems) == 1
        assert served.recall([LIVE], reader="acme") == resolved
        with pytest.raises(DatabaseUnreachable, match="no answer within 2 seconds"):
            served.tenants()
    until_back(served)
    assert served.tenants()


def test_a_change_seen_before_an_outage_is_not_forgotten_in_it(
    own_server: PostgresServer, served: PrefixRegistry
) -> None:
    keys = ApiKeys(served.database)
    issued = keys.issue("acme", "laptop")
    keys.authenticate(issued.key)
    keys.revoke(issued.facts.id)
    own_server.kill()
    until_away(served)
    assert keys.recall(issued.key) is None


def test_a_feed_is_never_silently_dead(
    own_server: PostgresServer, served: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(ChangeConnection, "read_number", fail)
    while served.database.state() is not None:
        time.sleep(0.005)
    monkeypatch.undo()
    while served.database.state() is None:
        time.sleep(0.005)
    assert change_feed.FRESH_SECONDS == 1
