"""The contract of every store: a folder and a bucket."""

import hashlib
import time
from math import inf
from pathlib import Path

import pytest

from prefixes.errors import InvalidName, PrefixRejected, StoreCorrupted, StoreUnavailable
from prefixes.store import PrefixStore
from tests.prefixes.places import Place, key_of, put


@pytest.fixture
def store(place: Place) -> PrefixStore:
    return place.open()


def files_of(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_committed_bytes_come_back_under_their_sha256(store: PrefixStore) -> None:
    digest = put(store, b"keys and values")
    assert digest == hashlib.sha256(b"keys and values").hexdigest()
    assert store.get(digest) == b"keys and values"
    assert store.digests() == {digest}


def test_bytes_written_in_pieces_are_counted_hashed_and_readable_on_the_way(
    store: PrefixStore,
) -> None:
    with store.stage() as staged:
        for chunk in (b"one ", b"", b"two "):
            staged.write(chunk)
        assert staged.read() == b"one two "
        staged.write(b"three")
        assert staged.size == 13
        assert staged.digest == hashlib.sha256(b"one two three").hexdigest()
        assert staged.read() == b"one two three"


def test_committed_bytes_are_there_for_whoever_opens_the_store_next(
    store: PrefixStore, place: Place
) -> None:
    digest = put(store, b"kept")
    assert place.open().get(digest) == b"kept"


def test_staged_bytes_that_are_not_committed_leave_no_file(
    store: PrefixStore, tmp_path: Path
) -> None:
    with store.stage() as staged:
        staged.write(b"never mind")
        assert len(files_of(tmp_path)) == 1
    assert files_of(tmp_path) == []
    assert store.digests() == frozenset()


def test_an_error_while_staging_leaves_no_file_and_passes_through(
    store: PrefixStore, tmp_path: Path
) -> None:
    def fail_halfway() -> None:
        with store.stage() as staged:
            staged.write(b"half")
            raise FileExistsError("mine")

    with pytest.raises(FileExistsError, match="mine"):
        fail_halfway()
    assert files_of(tmp_path) == []


def test_bytes_beyond_the_limit_are_refused_before_they_reach_the_disk(
    place: Place, tmp_path: Path
) -> None:
    store = place.open(max_bytes=8)
    with store.stage() as staged:
        staged.write(b"12345678")
        with pytest.raises(PrefixRejected, match="at most 8 bytes") as caught:
            staged.write(b"9")
        assert staged.read() == b"12345678"
    assert [finding.code for finding in caught.value.findings] == ["too_large"]
    assert files_of(tmp_path) == []


def test_the_same_bytes_committed_twice_are_one_blob(store: PrefixStore) -> None:
    digest = put(store, b"same")
    assert put(store, b"same") == digest
    assert store.digests() == {digest}


@pytest.mark.parametrize(
    "damaged", [b"", b"byteZ", b"bytes and more"], ids=["cut", "flipped", "longer"]
)
def test_a_damaged_blob_is_never_handed_out(place: Place, damaged: bytes) -> None:
    digest = put(place.open(), b"bytes")
    place.put(key_of(digest), damaged)
    store = place.open()
    with pytest.raises(StoreCorrupted, match=rf"{digest} is damaged.*publish the same"):
        store.get(digest)
    with pytest.raises(StoreCorrupted, match=rf"{digest} is damaged.*publish the same"):
        store.open(digest)


def test_committing_the_same_bytes_again_mends_a_damaged_blob(
    store: PrefixStore, place: Place
) -> None:
    digest = put(store, b"bytes")
    place.put(key_of(digest), b"byteZ")
    put(store, b"bytes")
    assert place.open().get(digest) == b"bytes"


def test_a_missing_blob_is_reported_with_its_path(store: PrefixStore, place: Place) -> None:
    digest = "ab" * 32
    with pytest.raises(StoreUnavailable, match=place.missing) as caught:
        store.get(digest)
    assert place.name_of(digest) in str(caught.value)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_only_a_digest_names_a_blob(store: PrefixStore, digest: str) -> None:
    with pytest.raises(InvalidName, match="64 hexadecimal digits"):
        store.get(digest)
    with pytest.raises(InvalidName, match="64 hexadecimal digits"):
        store.delete(digest)


def test_an_open_blob_stays_whole_when_it_is_deleted_meanwhile(
    store: PrefixStore, place: Place
) -> None:
    digest = put(store, b"bytes")
    with store.open(digest) as file:
        store.delete(digest)
        assert file.read() == b"bytes"
    with pytest.raises(StoreUnavailable, match=place.missing):
        store.open(digest)


def test_a_deleted_blob_is_gone_and_deleting_it_again_is_fine(store: PrefixStore) -> None:
    digest, other = put(store, b"bytes"), put(store, b"other")
    store.delete(digest)
    store.delete(digest)
    assert store.digests() == {other}


def test_sweeping_sets_unknown_blobs_aside_and_they_are_found_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = place.open()
    unknown, republished = put(store, b"unknown"), put(store, b"deleted, then stored again")
    assert store.sweep(set(), {republished: 1000.0}, older_than_seconds=0, now=inf) == 2
    assert store.digests() == frozenset()
    assert store.quarantined() == {unknown, republished}
    for digest in (unknown, republished):
        assert any("moved to" in line and digest in line for line in caplog.messages)
    store = place.open()
    assert store.get(unknown) == b"unknown"
    with store.open(republished) as file:
        assert file.read() == b"deleted, then stored again"
    assert store.digests() == {unknown, republished}
    assert store.quarantined() == frozenset()


def test_a_blob_in_quarantine_is_deleted_for_good_and_superseded_by_the_same_bytes(
    store: PrefixStore,
) -> None:
    deleted, again = put(store, b"deleted"), put(store, b"again")
    store.sweep(set(), {}, older_than_seconds=0, now=inf)
    store.delete(deleted)
    put(store, b"again")
    assert store.quarantined() == frozenset()
    assert store.digests() == {again}


def test_what_else_lies_next_to_the_blobs_is_not_a_blob(store: PrefixStore, place: Place) -> None:
    digest = put(store, b"bytes")
    for stray in ("blobs/notes", "blobs/zz/notes", f"quarantine/other/{digest}"):
        place.put(stray, b"a note")
    assert store.digests() == {digest}
    assert store.quarantined() == frozenset()


def test_the_id_is_there_for_whoever_opens_the_store_next(store: PrefixStore, place: Place) -> None:
    assert store.id() is None
    store.set_id("one")
    assert place.open().id() == "one"


def test_trainings_next_to_the_blobs_are_listed_by_their_ids(
    store: PrefixStore, place: Place
) -> None:
    assert store.trainings() == frozenset()
    place.put("trainings/0123/train.csv", b"text,label")
    assert store.trainings() == {"0123"}


def test_a_young_blob_is_not_swept(store: PrefixStore) -> None:
    digest = put(store, b"young")
    assert store.sweep(set(), {}, older_than_seconds=60, now=time.time()) == 0
    assert store.digests() == {digest}
