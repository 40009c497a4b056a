"""S3Store: what a bucket has in addition to the contract of `test_store.py`, and its faults."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prefixes.errors import StoreCorrupted, StoreMismatch, StoreUnavailable
from prefixes.registry import open_registry, open_store
from prefixes.registry.sqlite import BUSY_SECONDS
from prefixes.s3.failures import describe
from prefixes.s3.settings import BucketSettings
from prefixes.store import PrefixStore
from tests.prefixes.places import BucketPlace, key_of, put
from tests.prefixes.publishing import publish
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedServer, credentials, start_seaweedfs
from tests.tcp_proxy import FaultyProxy

LARGE = bytes(range(256)) * 4096


@pytest.fixture
def place(seaweedfs: SeaweedServer, tmp_path: Path) -> BucketPlace:
    return BucketPlace(seaweedfs.new_bucket(), tmp_path)


@pytest.fixture
def store(place: BucketPlace) -> PrefixStore:
    return place.open()


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SeaweedServer]:
    """A service that the test may stop."""
    server = start_seaweedfs()
    for name, value in credentials().items():
        monkeypatch.setenv(name, value)
    yield server
    server.remove()


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up requests soon, so that a test of a silent service does not take long."""
    from prefixes.s3 import bucket

    limits = bucket.TimeLimits(silent=1.5, request=300, retry=1)
    monkeypatch.setattr(bucket, "PATIENT", limits)


def test_concurrent_publishers_of_the_same_bytes_all_succeed(place: BucketPlace) -> None:
    stores = [place.open() for _ in range(8)]
    barrier = threading.Barrier(len(stores))

    def publish(store: PrefixStore) -> str:
        barrier.wait()
        return put(store, LARGE)

    with ThreadPoolExecutor(len(stores)) as pool:
        (digest,) = set(pool.map(publish, stores))
    assert place.open().get(digest) == LARGE
    assert place.open().digests() == {digest}


def test_bytes_that_are_stored_again_are_young_again_so_that_no_sweep_takes_them(
    place: BucketPlace, store: PrefixStore
) -> None:
    digest = put(store, b"bytes")
    before = modified(place, digest)
    time.sleep(1.1)  # the service counts whole seconds
    put(place.open(), b"bytes")
    assert modified(place, digest) > before


def test_prepared_bytes_are_no_blob_until_they_are_committed(
    place: BucketPlace, store: PrefixStore
) -> None:
    with store.stage() as staged:
        staged.write(b"bytes")
        with store.prepared(staged):
            assert store.digests() == frozenset()
            assert len(staged_keys(place)) == 1
            store.commit(staged)
    with store.stage() as rejected:
        rejected.write(b"rejected")
        with store.prepared(rejected):
            pass
    assert place.open().digests() == {staged.digest}
    assert staged_keys(place) == []


def test_a_commit_does_not_rely_on_bytes_that_were_prepared_before_the_last_ones(
    place: BucketPlace, store: PrefixStore
) -> None:
    with store.stage() as staged:
        staged.write(b"byt")
        with store.prepared(staged):
            staged.write(b"es")
            store.commit(staged)
    assert place.open().get(staged.digest) == b"bytes"
    assert staged_keys(place) == []


def test_a_sweep_removes_objects_that_a_crash_left_before_their_commit(
    place: BucketPlace, store: PrefixStore
) -> None:
    place.put("staging/left-over", b"half a publication")
    assert store.sweep(set(), {}, older_than_seconds=60, now=time.time()) == 0
    assert store.sweep(set(), {}, older_than_seconds=60, now=time.time() + 1000) == 1
    assert staged_keys(place) == []


def staged_keys(place: BucketPlace) -> list[str]:
    from prefixes.s3.bucket import Bucket

    return [one.key for one in Bucket(place.settings).list("staging/")]


def test_a_prefix_that_is_sent_slowly_keeps_no_other_writer_waiting(
    seaweedfs: SeaweedServer, place: BucketPlace, tmp_path: Path
) -> None:
    with FaultyProxy(seaweedfs.port) as proxy:
        settings = seaweedfs.bucket(place.settings.bucket, port=proxy.port)
        registry = open_registry(tmp_path / "server", bucket=settings)
        registry.ensure_tenant("acme")
        with ThreadPoolExecutor(1) as pool, proxy.hold_requests() as has_one:
            slow = pool.submit(publish, registry, "acme", "tone", "one")
            assert has_one.wait(60)
            registry.ensure_tenant("zoo")  # it would wait for the lock, and fail
            assert not slow.done()
        assert slow.result().version.number == 1
        registry.close()


def test_the_requests_of_a_publication_end_before_other_writers_give_up() -> None:
    from prefixes.s3.bucket import HURRIED

    assert 2 * (HURRIED.retry + HURRIED.request) < BUSY_SECONDS


def modified(place: BucketPlace, digest: str) -> float:
    from prefixes.s3.bucket import Bucket

    (found,) = Bucket(place.settings).list(key_of(digest).rpartition("/")[0] + "/")
    return found.modified


def test_a_sweep_removes_only_what_was_clearly_not_stored_again_after_its_deletion(
    store: PrefixStore,
) -> None:
    stored_at = time.time()
    removed, doubtful, known = (put(store, data) for data in (b"removed", b"doubtful", b"known"))
    deleted = {removed: stored_at + 1000, doubtful: stored_at + 10, known: stored_at + 1000}
    assert store.sweep({known}, deleted, older_than_seconds=60, now=stored_at + 5000) == 2
    assert store.digests() == {known}
    assert store.quarantined() == {doubtful}


def test_a_sweep_removes_uploads_that_a_crash_left(place: BucketPlace, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    store = open_store(folder, place.settings)
    (folder / "staging" / "left-over").write_bytes(b"half a prefix")
    assert store.sweep(set(), {}, older_than_seconds=60, now=time.time()) == 0
    assert store.sweep(set(), {}, older_than_seconds=60, now=time.time() + 100) == 1
    assert not (folder / "staging" / "left-over").exists()


def test_the_second_of_two_databases_is_not_paired_with_one_bucket(place: BucketPlace) -> None:
    first, second = place.open(), place.open()
    first.set_id("one")
    second.set_id("one")
    with pytest.raises(StoreMismatch, match="Another database was paired"):
        second.set_id("two")
    assert second.id() == "one"


def test_two_prefixes_of_one_bucket_are_two_stores(place: BucketPlace, tmp_path: Path) -> None:
    settings = place.settings
    other = BucketSettings.parse(
        f"s3://{settings.bucket}/tests/other",
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        allow_http=True,
    )
    digest = put(place.open(), b"bytes")
    assert open_store(tmp_path / "other", other).digests() == frozenset()
    assert place.open().digests() == {digest}


def read_when_loaded(store: PrefixStore, digest: str) -> bytes:
    """Read a blob from a SeaweedFS that accepts requests before it has loaded its volumes."""
    end = time.monotonic() + 60
    while True:
        try:
            return store.get(digest)
        except StoreUnavailable:
            if time.monotonic() >= end:
                raise
            time.sleep(0.2)


def test_cached_blobs_are_read_while_the_service_is_away(
    own_server: SeaweedServer, tmp_path: Path
) -> None:
    place = BucketPlace(own_server.new_bucket(), tmp_path)
    store = open_store(tmp_path / "server", place.settings)
    cached = put(store, b"cached")
    elsewhere = put(place.open(), b"stored by another server")
    own_server.stop()
    assert store.get(cached) == b"cached"
    with store.open(cached) as file:
        assert file.read() == b"cached"
    again = open_store(tmp_path / "server", place.settings)  # the cache survives a restart
    assert again.get(cached) == b"cached"
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"read s3://.*refused; check that the endp"):
            store.get(elsewhere)
        with pytest.raises(StoreUnavailable, match=r"Could not write s3://.*refused"):
            put(store, b"new")
    own_server.start()
    assert read_when_loaded(store, elsewhere) == b"stored by another server"
    assert place.open().get(put(store, b"new")) == b"new"


def test_a_reply_that_ends_early_is_an_error_and_not_a_damaged_blob(
    seaweedfs: SeaweedServer, place: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(place.open(), LARGE)
    be_impatient(monkeypatch)
    with FaultyProxy(seaweedfs.port) as proxy:
        settings = seaweedfs.bucket(place.settings.bucket, port=proxy.port)
        store = open_store(tmp_path / "server", settings)
        proxy.max_reply_bytes = 100_000
        with pytest.raises(StoreUnavailable, match="Could not read") as caught:
            store.get(digest)
        assert not isinstance(caught.value, StoreCorrupted)
        proxy.max_reply_bytes = None
        assert store.get(digest) == LARGE


def test_a_service_that_falls_silent_is_given_up(
    seaweedfs: SeaweedServer, place: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(place.open(), LARGE)
    be_impatient(monkeypatch)
    with FaultyProxy(seaweedfs.port) as proxy:
        settings = seaweedfs.bucket(place.settings.bucket, port=proxy.port)
        store = open_store(tmp_path / "server", settings)
        proxy.max_reply_bytes, proxy.is_silent = 0, True
        with pytest.raises(StoreUnavailable, match=rf"{digest}: .*in time; check that"):
            store.get(digest)
        with pytest.raises(StoreUnavailable, match="in time"):
            put(store, b"bytes")


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [
        (ACCESS_KEY, "a-wrong-secret", "SignatureDoesNotMatch"),
        ("an-unknown-key", SECRET_KEY, "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_reported_and_not_repeated(
    place: BucketPlace,
    monkeypatch: pytest.MonkeyPatch,
    access_key: str,
    secret_key: str,
    code: str,
) -> None:
    for name, value in credentials(access_key, secret_key).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable, match=rf"{code} .*; check the AWS_ variables") as caught:
        place.open().id()
    for secret in (access_key, secret_key):
        assert secret not in str(caught.value).replace(place.settings.url, "")
    assert caught.value.__cause__ is None  # no traceback has the reply of the service


def test_missing_credentials_are_reported() -> None:
    found = "Error performing PUT http://169.254.169.254/latest/api/token in 3s - status: 403"
    assert describe(Exception(found)).startswith("there are no credentials; check the AWS_ var")


def test_a_missing_bucket_is_reported(seaweedfs: SeaweedServer, tmp_path: Path) -> None:
    store = open_store(tmp_path, seaweedfs.bucket("no-such-bucket"))
    for read in (store.id, store.digests, lambda: store.get("ab" * 32)):
        with pytest.raises(StoreUnavailable, match=r"NoSuchBucket .*create the bucket"):
            read()


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("prefixes.s3.bucket", "prefixes.s3.store"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for module in ("obstore", "obstore.exceptions", "obstore.store"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StoreUnavailable, match=r"polyprefix\[s3\]"):
        open_store(tmp_path, BucketSettings("bucket"))


def test_a_local_folder_needs_no_client_of_buckets(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from prefixes.registry import open_registry; "
        f"open_registry(Path({str(tmp_path)!r})).close(); assert 'obstore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
