"""Fixtures for what is kept: a registry in a fresh folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.registry import PrefixRegistry, open_registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    """An empty registry with the tenants acme and globex, and the public tenant examples."""
    registry = open_registry(tmp_path / "registry")
    registry.ensure_tenant("acme")
    registry.ensure_tenant("globex")
    registry.ensure_tenant("examples", is_public=True)
    yield registry
    registry.close()
