"""A replica that is behind sees what the ingress has seen, with PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import PrefixRegistry, change_feed, open_registry
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.server.hosting.ray.test_routed_engine import OneReplica, ask, engine_of
from tests.server.rest import new_registry, put

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(postgresql: PostgresServer) -> Iterator[str]:
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def of_ingress(tmp_path: Path, database_url: str) -> Iterator[PrefixRegistry]:
    registry, _ = new_registry(tmp_path / "store", database_url)
    registry.database.follow_changes()
    yield registry
    registry.close()


@pytest.fixture
def of_replica(
    of_ingress: PrefixRegistry, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrefixRegistry]:
    """A registry that is not notified, and reads the number of the last change once a minute."""
    registry = open_registry(tmp_path / "store", database_url=database_url)
    monkeypatch.setattr("prefixes.registry.change_connection.LISTEN_TO_CHANGES", "SELECT 1")
    monkeypatch.setattr(change_feed, "_PAUSE_SECONDS", 60.0)
    registry.database.follow_changes()
    yield registry
    registry.close()


async def test_a_replica_sees_a_change_that_the_ingress_has_seen(
    of_ingress: PrefixRegistry, of_replica: PrefixRegistry, backbone: Backbone
) -> None:
    put(of_ingress, "acme/mood", make_prefix(backbone.fingerprint))
    number = of_ingress.database.change_number
    assert of_replica.database.change_number != number
    await ask(engine_of(OneReplica(of_replica), backbone, of_ingress), "acme/mood")

    assert of_replica.database.change_number == number
