"""A rolling upgrade: servers of an earlier schema serve while a new one migrates the database."""

import secrets
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.chaos import rules
from tests.chaos.previous import unpack_previous
from tests.chaos.publishing import Publisher
from tests.chaos.rules import Published
from tests.chaos.servers import SharingServer
from tests.chaos.traffic import Traffic
from tests.postgresql import PostgresServer

_NUM_THREADS: Final = 2
_KEY_TAIL: Final = 32


@pytest.fixture
def database_url(postgresql: PostgresServer) -> Iterator[str]:
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


def key_of_acme(url: str, operator_key: str) -> str:
    """Make the tenant and a key over HTTP: a registry of this version would migrate first."""
    headers = {"Authorization": f"Bearer {operator_key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as operator:
        operator.post("/v1/tenants", json={"name": "acme"}).raise_for_status()
        made = operator.post("/v1/tenants/acme/keys", json={"role": "upload"}).raise_for_status()
    return str(made.json()["key"])


def schema_of(url: str) -> str:
    """Return the revision of the tables of a database."""
    import psycopg

    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert found is not None
    return str(found[0])


def wait_for_replies(traffic: Traffic) -> None:
    """Wait until each thread has sent requests to the servers that it has now."""
    count = len(traffic.replies) + 4 * _NUM_THREADS
    while len(traffic.replies) < count:
        time.sleep(0.01)


@contextmanager
def sending(traffic: Traffic, *servers: SharingServer) -> Iterator[None]:
    """Send requests, and end the servers with them."""
    traffic.start(_NUM_THREADS)
    try:
        yield
    finally:
        traffic.stop()
        for server in servers:
            server.kill()


def test_no_request_fails_while_servers_are_replaced(
    tmp_path: Path,
    backbone: Backbone,
    backbone_folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("POLYPREFIX_TRAINING_NICENESS")  # earlier code rejects unknown settings
    operator_key = f"pp_{secrets.token_hex(6)}_{secrets.token_urlsafe(_KEY_TAIL)}"
    settings = {
        "POLYPREFIX_DATABASE_URL": database_url,
        "POLYPREFIX_OPERATOR_KEY": operator_key,
    }
    store = tmp_path / "store"
    old = SharingServer(store, backbone_folder, settings, code=unpack_previous(tmp_path))
    new = SharingServer(store, backbone_folder, settings)
    old.start()
    servers = [old]
    key = key_of_acme(old.url, operator_key)
    publisher = Publisher(servers, key, "acme", "numbered", backbone.fingerprint)
    traffic = Traffic(servers, publisher)
    previous = schema_of(database_url)
    with publisher.client() as client:
        assert publisher.publish(client, 0)
        with sending(traffic, old, new):
            new.start()
            assert schema_of(database_url) > previous
            servers.append(new)
            wait_for_replies(traffic)
            assert publisher.publish(client, 0)
            servers[0] = new
            wait_for_replies(traffic)
            assert old.stop() == 0
            assert publisher.publish(client, 0)
            wait_for_replies(traffic)
            traffic.stop()
            listed = {0: publisher.versions(client, 0)}
    check(traffic, publisher, listed)


def check(traffic: Traffic, publisher: Publisher, listed: Mapping[int, AbstractSet[int]]) -> None:
    numbers = {one.version: one.number for one in publisher.acknowledged}
    published = Published(numbers, publisher.unacknowledged, listed)
    assert len(numbers) == 3
    assert [reply.detail for reply in traffic.replies if reply.status != 200] == []
    assert rules.answers_are_right(traffic.replies, published).violations == []
    assert rules.nothing_is_lost(published).violations == []
