"""Fixtures of the tests of the Python client: servers, and clients of their tenants."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polyprefix_client import Client, RetryPolicy
from tests.server.conftest import anyio_backend, rest, serve
from tests.server.rest import Rest

__all__ = ["anyio_backend", "rest", "serve"]

ClientOf = Callable[[str], Client]
QUICK = RetryPolicy(first_wait=0.001, max_wait=0.001)


@pytest.fixture(autouse=True)
def _without_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and the login of the person who runs the tests."""
    monkeypatch.delenv("POLYPREFIX_URL", raising=False)
    monkeypatch.delenv("POLYPREFIX_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def client_of(rest: Rest) -> Iterator[ClientOf]:
    """Makes clients with the key of a tenant or of the operator."""
    made: list[Client] = []

    def make(tenant: str) -> Client:
        made.append(Client(rest.url, rest.keys[tenant], retries=QUICK))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def acme(client_of: ClientOf) -> Client:
    return client_of("acme")
