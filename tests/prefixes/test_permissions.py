"""Nobody but the server's user may read what is kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes.registry import ApiKeys, open_registry
from tests.prefixes.publishing import publish


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Let the system withhold nothing by itself."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> set[Path]:
    return {path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077}


def use(folder: Path) -> None:
    """Leave every kind of file behind: also SQLite's log, which goes with the last connection."""
    registry = open_registry(folder)
    registry.ensure_tenant("acme")
    ApiKeys(registry.database).issue("acme", "laptop")
    publish(registry, "acme", "topic", "one")
    (folder / "blobs" / "00").mkdir(mode=0o700, exist_ok=True)
    registry.database.reserve_space()
    assert (folder / "registry.db-wal").exists()
    assert open_to_others(folder) == set()
    registry.close()


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    use(tmp_path / "made" / "store")
    assert open_to_others(tmp_path / "made") == set()


def test_a_start_withdraws_the_rights_of_others_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "store"
    use(folder)
    (folder / "trainings" / "1").mkdir(parents=True)
    (folder / "trainings" / "1" / "train.csv").write_text("text,label")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    open_registry(folder).close()
    left = {path.name for path in open_to_others(folder)}
    assert left <= {"store-id", "registry.db-reserve"}
    for name in ("blobs", "trainings", "registry.db"):
        assert any(f"{name}: their permissions were removed" in line for line in caplog.messages)
    caplog.clear()
    open_registry(folder).close()
    assert caplog.messages == []
