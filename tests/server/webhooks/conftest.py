"""Fixtures of tests of webhooks: a store, a receiver, and rules that allow the loopback."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from prefixes.registry import PrefixRegistry, open_registry
from server.webhooks.addresses import AddressRules
from tests.server.webhooks.receiver import Receiver, receiving


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    registry.ensure_tenant("zoo")
    yield registry
    registry.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def loopback() -> AddressRules:
    return AddressRules([ip_network("127.0.0.1/32")])
