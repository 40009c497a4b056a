"""LocalStore: what a folder has in addition to the contract of `test_store.py`."""

import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import prefixes
from prefixes.errors import StoreUnavailable
from prefixes.local_store import LocalStore
from tests.prefixes.places import put


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def files_of(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def blob_of(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "store" / "blobs" / digest[:2] / digest


def age(path: Path, modified: float) -> None:
    os.utime(path, (modified, modified))


@contextmanager
def disk_full_after(num_bytes: int) -> Iterator[None]:
    """Let the system refuse to make any file longer than this, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_commit_moves_the_staged_file_so_that_no_half_of_it_is_ever_seen(
    store: LocalStore, tmp_path: Path
) -> None:
    with store.stage() as staged:
        staged.write(b"bytes")
        (before,) = files_of(tmp_path)
        inode = before.stat().st_ino
        store.commit(staged)
        assert blob_of(tmp_path, staged.digest).stat().st_ino == inode
        assert not before.exists()


def test_what_else_lies_beside_the_blobs_is_no_blob(store: LocalStore, tmp_path: Path) -> None:
    digest = put(store, b"bytes")
    blobs = tmp_path / "store" / "blobs"
    (blobs / "ab").mkdir(exist_ok=True)
    for stray in (blobs / "notes", blobs / "no", blobs / "ab" / "notes"):
        stray.write_bytes(b"a note")
    assert store.digests() == {digest}


def test_sweeping_removes_what_is_abandoned_and_keeps_known_blobs_and_young_files(
    store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    known, deleted, young = put(store, b"known"), put(store, b"deleted"), put(store, b"young")
    left_over = tmp_path / "store" / "staging" / "left-over"
    left_over.write_bytes(b"half a prefix")
    for path in (left_over, blob_of(tmp_path, known), blob_of(tmp_path, deleted)):
        age(path, 1000.0)
    age(blob_of(tmp_path, young), 1001.0)
    gone = {deleted: 1000.0, known: 1000.0}
    with store.stage() as staged:
        staged.write(b"being uploaded")
        assert store.sweep({known}, gone, older_than_seconds=60, now=1060.0) == 2
        store.commit(staged)
        assert store.digests() == {known, young, staged.digest}
    assert not left_over.exists()
    for name in (deleted, left_over.name):
        assert any("removed" in line and name in line for line in caplog.messages)


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "store"
    with pytest.raises(StoreUnavailable, match=r"File exists \(.*file\)") as caught:
        LocalStore(folder)
    assert str(folder) in str(caught.value)


def test_a_folder_that_vanished_is_named_with_the_reason(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "store" / "staging").rmdir()
    with pytest.raises(StoreUnavailable, match=r"staging.*No such file"), store.stage():
        pass


def test_a_commit_that_the_disk_refuses_leaves_no_file(store: LocalStore, tmp_path: Path) -> None:
    blobs = tmp_path / "store" / "blobs"
    blobs.rmdir()
    blobs.write_text("in the way")
    with pytest.raises(StoreUnavailable, match="Could not commit"):
        put(store, b"bytes")
    assert files_of(tmp_path) == [blobs]


def test_a_full_disk_is_reported_and_leaves_no_file(store: LocalStore, tmp_path: Path) -> None:
    with (
        disk_full_after(1000),
        pytest.raises(StoreUnavailable, match=r"Could not write .* free space"),
    ):
        put(store, bytes(5000))
    assert files_of(tmp_path) == []
    assert store.get(put(store, b"room again")) == b"room again"


def test_a_folder_inside_the_program_is_refused() -> None:
    folder = Path(prefixes.__file__).parent / "data"
    with pytest.raises(StoreUnavailable, match="package 'prefixes'"):
        LocalStore(folder)
    assert not folder.exists()
