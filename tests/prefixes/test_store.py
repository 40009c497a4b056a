import hashlib
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import pytest

import prefixes
from prefixes.errors import InvalidName, PrefixRejected, StoreCorrupted, StoreUnavailable
from prefixes.local_store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def put(store: LocalStore, data: bytes) -> str:
    with store.stage() as staged:
        staged.write(data)
        store.commit(staged)
        return staged.digest


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


def test_committed_bytes_come_back_under_their_sha256(store: LocalStore) -> None:
    digest = put(store, b"keys and values")
    assert digest == hashlib.sha256(b"keys and values").hexdigest()
    assert store.get(digest) == b"keys and values"
    assert store.digests() == {digest}


def test_bytes_written_in_pieces_are_counted_hashed_and_readable_on_the_way(
    store: LocalStore,
) -> None:
    with store.stage() as staged:
        for chunk in (b"one ", b"", b"two "):
            staged.write(chunk)
        assert staged.read() == b"one two "
        staged.write(b"three")
        assert staged.size == 13
        assert staged.digest == hashlib.sha256(b"one two three").hexdigest()
        assert staged.read() == b"one two three"


def test_committed_bytes_are_there_for_whoever_opens_the_folder_next(
    store: LocalStore, tmp_path: Path
) -> None:
    digest = put(store, b"kept")
    assert LocalStore(tmp_path / "store").get(digest) == b"kept"


def test_staged_bytes_that_are_not_committed_leave_no_file(
    store: LocalStore, tmp_path: Path
) -> None:
    with store.stage() as staged:
        staged.write(b"never mind")
        assert len(files_of(tmp_path)) == 1
    assert files_of(tmp_path) == []
    assert store.digests() == frozenset()


def test_an_error_while_staging_leaves_no_file_and_passes_through(
    store: LocalStore, tmp_path: Path
) -> None:
    def fail_halfway() -> None:
        with store.stage() as staged:
            staged.write(b"half")
            raise FileExistsError("mine")

    with pytest.raises(FileExistsError, match="mine"):
        fail_halfway()
    assert files_of(tmp_path) == []


def test_bytes_beyond_the_limit_are_refused_before_they_reach_the_disk(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, max_bytes=8)
    with store.stage() as staged:
        staged.write(b"12345678")
        with pytest.raises(PrefixRejected, match="at most 8 bytes") as caught:
            staged.write(b"9")
        assert staged.read() == b"12345678"
    assert [finding.code for finding in caught.value.findings] == ["too_large"]
    assert files_of(tmp_path) == []


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


def test_the_same_bytes_committed_twice_are_one_blob(store: LocalStore, tmp_path: Path) -> None:
    assert put(store, b"same") == put(store, b"same")
    assert len(files_of(tmp_path)) == 1


@pytest.mark.parametrize(
    "damaged", [b"", b"byteZ", b"bytes and more"], ids=["cut", "flipped", "longer"]
)
def test_a_damaged_blob_is_never_handed_out(
    store: LocalStore, tmp_path: Path, damaged: bytes
) -> None:
    digest = put(store, b"bytes")
    blob_of(tmp_path, digest).write_bytes(damaged)
    with pytest.raises(StoreCorrupted, match=rf"{digest} is damaged.*publish the same"):
        store.get(digest)
    with pytest.raises(StoreCorrupted, match=rf"{digest} is damaged.*publish the same"):
        store.open(digest)


def test_committing_the_same_bytes_again_mends_a_damaged_blob(
    store: LocalStore, tmp_path: Path
) -> None:
    digest = put(store, b"bytes")
    blob_of(tmp_path, digest).write_bytes(b"byteZ")
    put(store, b"bytes")
    assert store.get(digest) == b"bytes"


def test_a_missing_blob_is_reported_with_its_path(store: LocalStore, tmp_path: Path) -> None:
    digest = "ab" * 32
    with pytest.raises(StoreUnavailable, match="No such file") as caught:
        store.get(digest)
    assert str(blob_of(tmp_path, digest)) in str(caught.value)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_only_a_digest_names_a_blob(store: LocalStore, digest: str) -> None:
    with pytest.raises(InvalidName, match="64 hexadecimal digits"):
        store.get(digest)
    with pytest.raises(InvalidName, match="64 hexadecimal digits"):
        store.delete(digest)


def test_an_open_blob_stays_whole_when_it_is_deleted_meanwhile(store: LocalStore) -> None:
    digest = put(store, b"bytes")
    with store.open(digest) as file:
        store.delete(digest)
        assert file.read() == b"bytes"
    with pytest.raises(StoreUnavailable, match="No such file"):
        store.open(digest)


def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(store: LocalStore) -> None:
    digest, other = put(store, b"bytes"), put(store, b"other")
    store.delete(digest)
    store.delete(digest)
    assert store.digests() == {other}


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


def test_sweeping_sets_unknown_blobs_aside_and_they_are_found_again(
    store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown, republished = put(store, b"unknown"), put(store, b"deleted, then stored again")
    assert store.sweep(set(), {republished: 1000.0}, older_than_seconds=0, now=inf) == 2
    assert store.digests() == frozenset()
    assert store.quarantined() == {unknown, republished}
    for digest in (unknown, republished):
        assert any("moved to" in line and digest in line for line in caplog.messages)
    assert store.get(unknown) == b"unknown"
    with store.open(republished) as file:
        assert file.read() == b"deleted, then stored again"
    assert store.digests() == {unknown, republished}
    assert store.quarantined() == frozenset()


def test_a_blob_in_quarantine_is_deleted_for_good_and_superseded_by_the_same_bytes(
    store: LocalStore,
) -> None:
    deleted, again = put(store, b"deleted"), put(store, b"again")
    store.sweep(set(), {}, older_than_seconds=0, now=inf)
    store.delete(deleted)
    put(store, b"again")
    assert store.quarantined() == frozenset()
    assert store.digests() == {again}


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
