"""BlobCache: copies within a budget, verified, shared and never in the way."""

import hashlib
import os
from pathlib import Path

import pytest

from prefixes.s3.cache import BlobCache


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def add(cache: BlobCache, data: bytes) -> str:
    cache.add(digest_of(data), data)
    return digest_of(data)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_survives_a_restart(tmp_path: Path) -> None:
    digest = add(BlobCache(tmp_path, 1000), b"bytes")
    assert BlobCache(tmp_path, 1000).get(digest) == b"bytes"
    assert BlobCache(tmp_path, 1000).get(digest_of(b"other")) is None


def test_the_least_recently_used_copies_are_evicted(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    digests = [add(cache, bytes([number]) * 100) for number in range(10)]
    for age, digest in enumerate(digests):
        os.utime(tmp_path / digest, (1000 + age, 1000 + age))
    assert cache.get(digests[0]) is not None  # used now
    digests.append(add(cache, b"x" * 100))
    assert digests[0] in names(tmp_path)
    assert digests[1] not in names(tmp_path)
    assert digests[-1] in names(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


def test_many_copies_never_take_more_than_the_budget(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 10_000)
    for number in range(200):
        add(cache, number.to_bytes(2, "big") * (50 + number))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


def test_a_damaged_copy_is_a_miss_and_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BlobCache(tmp_path, 1000)
    digest = add(cache, b"bytes")
    (tmp_path / digest).write_bytes(b"byteZ")
    assert cache.get(digest) is None
    assert names(tmp_path) == set()
    assert "damaged copy" in caplog.text


def test_an_open_copy_stays_readable_when_it_is_evicted(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    digest = add(cache, b"bytes")
    file = cache.open(digest, 5)
    assert file is not None
    with file:
        cache.remove(digest)
        assert file.read() == b"bytes"
    assert cache.open(digest, 5) is None


def test_a_copy_that_cannot_be_written_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BlobCache(tmp_path / "cache", 1000)
    (tmp_path / "cache").rmdir()
    digest = add(cache, b"bytes")
    assert cache.get(digest) is None
    assert "cannot keep a copy" in caplog.text


def test_a_blob_that_would_evict_most_others_is_not_kept(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    assert cache.get(add(cache, b"x" * 101)) is None


def test_two_processes_may_share_the_folder(tmp_path: Path) -> None:
    first, second = BlobCache(tmp_path, 1000), BlobCache(tmp_path, 1000)
    for number in range(50):
        digest = add(first if number % 2 else second, bytes([number]) * 100)
        assert first.get(digest) == second.get(digest) == bytes([number]) * 100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1100


def test_copies_of_unknown_blobs_are_removed(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    kept, gone = add(cache, b"kept"), add(cache, b"gone")
    (tmp_path / "left-over.partial").write_bytes(b"half")
    cache.keep_only({kept})
    assert names(tmp_path) == {kept}
    assert cache.get(gone) is None
