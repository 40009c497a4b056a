"""Fixtures for what is kept: a registry in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.registry import PrefixRegistry, open_registry
from tests.prefixes.publishing import publish


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    """An empty registry with the tenants acme and globex, and the public tenant examples."""
    registry = open_registry(tmp_path / "registry")
    registry.ensure_tenant("acme")
    registry.ensure_tenant("globex")
    registry.ensure_tenant("examples", is_public=True)
    yield registry
    registry.close()


@pytest.fixture
def topic(registry: PrefixRegistry) -> PrefixRegistry:
    """A registry with three versions of acme/topic; live points to the first."""
    for text in ("a", "b", "c"):
        publish(registry, "acme", "topic", text)
    return registry
