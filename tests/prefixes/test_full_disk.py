"""On a full disk nothing new is stored, and what frees space or withdraws a right still works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.errors import StoreFull
from prefixes.registry import ApiKeys, PrefixRegistry, open_registry
from tests.full_disk import fill, mounted_disk
from tests.prefixes.publishing import publish


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", kib=4096) as disk:
        yield disk


@pytest.fixture
def registry(disk: Path) -> Iterator[PrefixRegistry]:
    """A registry with a few versions on a disk that is full."""
    registry = open_registry(disk)
    registry.ensure_tenant("acme")
    for text in ("one", "two", "three"):
        publish(registry, "acme", "topic", text)
    registry.database.reserve_space()
    yield registry
    registry.close()


def test_versions_are_deleted_on_a_full_disk_and_then_others_stored(
    registry: PrefixRegistry, disk: Path
) -> None:
    ballast = fill(disk)
    with pytest.raises(StoreFull):
        publish(registry, "acme", "topic", "four")
    with pytest.raises(StoreFull):
        registry.ensure_tenant("globex")
    registry.remove_version("acme", "topic", 2)
    registry.remove_prefix("acme", "topic")
    assert registry.store.digests() == frozenset()
    ballast.unlink()
    assert publish(registry, "acme", "topic", "four").version.number == 4


def test_a_key_is_revoked_on_a_full_disk(registry: PrefixRegistry, disk: Path) -> None:
    keys = ApiKeys(registry.database)
    key = keys.issue("acme", "laptop").key
    fill(disk)
    keys.revoke(key.split("_")[1])
    assert keys.authenticate(key) is None


def test_a_full_disk_keeps_no_registry_from_opening(registry: PrefixRegistry, disk: Path) -> None:
    registry.close()
    fill(disk)
    again = open_registry(disk)
    assert len(again.show("acme", "topic", reader="acme").versions) == 3
    again.ensure_tenant("acme")
    again.close()


def test_a_disk_that_is_nearly_full_is_reported_without_its_path(
    registry: PrefixRegistry, disk: Path
) -> None:
    warning = registry.space_warning()
    assert warning is not None
    assert "expected at least 16 MiB" in warning
    assert str(disk) not in warning
