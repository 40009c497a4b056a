"""A store and its database belong to each other, and nothing is lost when they are mixed up."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from prefixes import digest_of
from prefixes.errors import StoreMismatch, StoreUnavailable
from prefixes.registry import PrefixRegistry, adopt_store, open_registry
from tests.prefixes.old_databases import downgrade
from tests.prefixes.publishing import publish, tiny_prefix


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with two prefix files that are old enough to be swept, and its database."""
    folder = tmp_path / "store"
    registry = open_registry(folder)
    registry.ensure_tenant("acme")
    for text in ("one", "two"):
        publish(registry, "acme", "topic", text)
    registry.close()
    age_blobs(folder)
    return folder


def age_blobs(folder: Path) -> None:
    for path in blobs(folder):
        os.utime(path, (0, 0))


def blobs(folder: Path) -> set[Path]:
    return set((folder / "blobs").glob("*/*"))


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def read_all(registry: PrefixRegistry) -> list[bytes]:
    entry = registry.show("acme", "topic", reader="acme")
    return [registry.read(version.digest) for version in entry.versions]


def expected(*texts: str) -> list[bytes]:
    return [tiny_prefix(text).to_bytes() for text in texts]


def copy_database(source: Path, target: Path) -> None:
    """Back up a database as the documentation says."""
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


def remove_database(folder: Path) -> None:
    for path in folder.glob("registry.db*"):
        path.unlink()


def empty_database(folder: Path) -> None:
    remove_database(folder)
    (folder / "registry.db").touch()


def emptied_rows(folder: Path) -> None:
    """Replace the database by one that is well-formed and knows nothing."""
    remove_database(folder)
    other = folder.parent / "other"
    open_registry(other).close()
    shutil.copy(other / "registry.db", folder / "registry.db")


@pytest.mark.parametrize("lose", [remove_database, empty_database, emptied_rows])
def test_a_store_without_its_database_is_refused_and_left_alone(
    folder: Path, lose: Callable[[Path], None]
) -> None:
    before = blobs(folder)
    lose(folder)
    files = {path.name for path in folder.iterdir()}
    with pytest.raises(StoreMismatch, match="polyprefix store adopt"):
        open_registry(folder)
    assert blobs(folder) == before
    assert {path.name for path in folder.iterdir() if "-" not in path.name} <= files


def test_a_mistyped_database_url_is_refused_and_creates_nothing(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreMismatch, match=r"typo\.db is missing or empty.*holds 2 prefix files"):
        open_registry(folder, database_url=url_of(tmp_path / "typo.db"))
    assert not (tmp_path / "typo.db").exists()


def test_a_mistyped_store_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreMismatch, match=r"does not seem to belong.*2\s+only in the database"):
        open_registry(tmp_path / "typo", database_url=url_of(folder / "registry.db"))


def test_the_database_of_another_store_is_refused_by_its_id(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    open_registry(other).close()
    ids = [(place / "store-id").read_text().strip() for place in (other, folder)]
    with pytest.raises(StoreMismatch, match=f"expected the store id {ids[0]}, found {ids[1]}"):
        open_registry(folder, database_url=url_of(other / "registry.db"))


def as_before_ids(folder: Path) -> None:
    """Make a store and its database what earlier versions wrote."""
    (folder / "store-id").unlink()
    downgrade(folder / "registry.db", "0003")


def test_a_store_from_before_ids_is_paired_with_the_database_that_knows_it(folder: Path) -> None:
    as_before_ids(folder)
    registry = open_registry(folder)
    assert registry.sweep() == 0
    assert read_all(registry) == expected("one", "two")
    assert registry.store.id()
    registry.close()


def test_a_store_from_before_ids_is_not_paired_with_an_empty_database(folder: Path) -> None:
    as_before_ids(folder)
    emptied_rows(folder)
    with pytest.raises(StoreMismatch, match="2 only in the store"):
        open_registry(folder)
    assert not (folder / "store-id").exists()


def test_a_crash_between_the_two_ids_is_mended_by_the_next_start(folder: Path) -> None:
    with sqlite3.connect(folder / "registry.db") as connection:
        connection.execute("DELETE FROM paired_store")
    connection.close()
    open_registry(folder).close()
    (folder / "store-id").unlink()
    open_registry(folder).close()
    assert (folder / "store-id").read_text().strip()


def test_adopting_ties_a_store_to_another_database_and_loses_no_byte(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new = url_of(tmp_path / "new.db")
    found = adopt_store(folder, database_url=new)
    assert (found.num_shared, found.num_only_stored, found.num_only_listed) == (0, 2, 0)
    registry = open_registry(folder, database_url=new)
    assert registry.sweep() == 2
    assert blobs(folder) == set()
    assert len([line for line in caplog.messages if "was moved to" in line]) == 2
    registry.close()
    again = open_registry(folder)  # the first database, still of this store
    assert read_all(again) == expected("one", "two")
    assert len(blobs(folder)) == 2
    again.close()


def test_an_older_and_then_a_newer_backup_of_the_database_find_their_blobs(
    folder: Path, tmp_path: Path
) -> None:
    database = folder / "registry.db"
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    copy_database(database, older)
    registry = open_registry(folder)
    publish(registry, "acme", "topic", "three")
    registry.close()
    copy_database(database, newer)
    for backup, texts in ((older, ("one", "two")), (newer, ("one", "two", "three"))):
        remove_database(folder)
        shutil.copy(backup, database)
        age_blobs(folder)
        registry = open_registry(folder)
        registry.sweep()
        assert read_all(registry) == expected(*texts)
        registry.close()


def test_bytes_that_a_crash_left_of_a_deleted_version_are_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry = open_registry(folder)
    digest = digest_of(*expected("two"))
    with monkeypatch.context() as patch:
        patch.setattr(registry.store, "delete", lambda _digest: None)
        registry.remove_version("acme", "topic", 2)
    assert digest in registry.store.digests()
    assert registry.sweep() == 1
    assert digest not in registry.store.digests() | registry.store.quarantined()
    assert any("removed" in line and digest in line for line in caplog.messages)
    assert registry.sweep() == 0
    registry.close()


def test_a_backup_from_before_bytes_were_published_again_does_not_cost_them(
    folder: Path, tmp_path: Path
) -> None:
    registry = open_registry(folder)
    registry.remove_version("acme", "topic", 2)
    registry.close()
    backup, newest = tmp_path / "backup.db", tmp_path / "newest.db"
    copy_database(folder / "registry.db", backup)
    registry = open_registry(folder)
    publish(registry, "acme", "topic", "two")
    registry.close()
    copy_database(folder / "registry.db", newest)
    for database in (backup, newest):
        remove_database(folder)
        shutil.copy(database, folder / "registry.db")
        registry = open_registry(folder)
        registry.sweep(older_than_seconds=0)
        registry.close()
    registry = open_registry(folder)
    assert read_all(registry) == expected("one", "two")
    registry.close()


def test_a_url_that_is_not_one_is_refused_before_anything_else(folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match="Invalid database URL"):
        open_registry(folder, database_url="registry.db")
