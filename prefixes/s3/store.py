"""S3Store: prefix files in a bucket, with copies in a local cache.

Keys, below the prefix of the bucket's URL. They are those of the files of a `LocalStore`, so that a
folder can be copied to a bucket as it is:

    blobs/ab/abcdef...           committed bytes, under their digest
    staging/                     bytes that are not committed yet
    quarantine/blobs/abcdef...   bytes that were unknown to the database at a start
    store-id                     the id that the store shares with its database

A `LocalStore` renames a file into place. Here, received bytes are sent to `staging/` before the
writers' lock is taken, which may take long. Under the lock, the service copies the object: one
request, which creates all of the blob or nothing, and makes an earlier one young and whole.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from prefixes.disk import check_outside_program, disk, tighten
from prefixes.errors import StoreMismatch, StoreUnavailable
from prefixes.file import MAX_FILE_BYTES
from prefixes.s3.bucket import HURRIED, Bucket, ObjectInfo
from prefixes.s3.cache import BlobCache
from prefixes.s3.settings import BucketSettings
from prefixes.staging import StagedBlob, StagingFolder
from prefixes.store import DIGEST, check_bytes, check_is_digest

_FOLDER_LETTERS: Final = 2
_BLOBS: Final = "blobs/"
_STAGING: Final = "staging/"
_QUARANTINE: Final = "quarantine/blobs/"
_ID: Final = "store-id"
_CLOCK_SECONDS: Final = 300.0
"""Maximum difference between the clocks of the bucket and of the servers."""

_log = logging.getLogger(__name__)


class S3Store:
    """A `PrefixStore` in a bucket. Reads come from the cache where it has the blob."""

    def __init__(
        self, settings: BucketSettings, folder: Path, *, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        """Open the store. `folder` is local: it has staged bytes and the cache.

        Raises:
            StoreUnavailable: when the folder cannot be used, or a package is missing.
        """
        folder = check_outside_program(folder)
        self.bucket = Bucket(settings)
        self._hurried = Bucket(settings, HURRIED)
        self._folder = folder
        self._staging = StagingFolder(folder / "staging", max_bytes=max_bytes)
        self._prepared: dict[str, str] = {}
        """The digests of staged bytes that are in the bucket, by the names of these bytes."""
        self._cache = BlobCache(folder / "cache", settings.cache_bytes)
        for name in ("cache", "staging", "copies", "shown"):
            tighten(folder / name)

    @property
    def name(self) -> str:
        return self.bucket.name

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def id(self) -> str | None:
        data = self.bucket.find(_ID)
        return None if data is None else data.decode().strip() or None

    def set_id(self, store_id: str) -> None:
        """Write the id, unless another server has written one since `id` was read."""
        if not self.bucket.create(_ID, f"{store_id}\n".encode()) and self.id() != store_id:
            raise StoreMismatch(
                f"Another database was paired with the store {self.name} meanwhile. Check the "
                "database URL, and start again."
            )

    def stage(self) -> AbstractContextManager[StagedBlob]:
        return self._staging.stage()

    @contextmanager
    def prepared(self, staged: StagedBlob) -> Iterator[None]:
        key = _STAGING + staged.name
        self.bucket.put(key, staged.read())
        self._prepared[staged.name] = staged.digest
        try:
            yield
        finally:
            self._prepared.pop(staged.name, None)
            self._discard(key)

    def commit(self, staged: StagedBlob) -> None:
        """Copy the bytes to their place, over those that are there."""
        if self._prepared.get(staged.name) == staged.digest:
            self._copy(staged)
        else:
            with self.prepared(staged):
                self._copy(staged)

    def get(self, digest: str) -> bytes:
        key = _key(digest)
        data = self._cache.get(digest)
        if data is None:
            data = check_bytes(self.bucket.url(key), digest, self._download(key, digest))
            self._cache.add(digest, data)
        return data

    def open(self, digest: str) -> BufferedReader:
        data = self.get(digest)
        file = self._cache.open(digest, len(data))
        return self._anonymous_file(data) if file is None else file

    def delete(self, digest: str) -> None:
        self._hurried.delete(_key(digest))
        self._hurried.delete(_QUARANTINE + digest)
        self._cache.remove(digest)

    def digests(self) -> frozenset[str]:
        return frozenset(self._blobs())

    def quarantined(self) -> frozenset[str]:
        return frozenset(_name(one.key) for one in self.bucket.list(_QUARANTINE))

    def trainings(self) -> frozenset[str]:
        return self.bucket.folders("trainings/")

    def sweep(
        self,
        known: AbstractSet[str],
        deleted: Mapping[str, float],
        *,
        older_than_seconds: float,
        now: float,
    ) -> int:
        latest = now - older_than_seconds
        num_stale = self._sweep_staging(latest)
        orphans = {
            digest: one
            for digest, one in self._blobs().items()
            if digest not in known and one.modified <= latest
        }
        for digest, one in orphans.items():
            if one.modified <= deleted.get(digest, float("-inf")) - _CLOCK_SECONDS:
                self.bucket.delete(one.key)
                _log.info("removed the abandoned file %s", self.bucket.url(one.key))
            else:
                self._quarantine(one, digest)
        self._cache.keep_only(known)
        return num_stale + len(orphans)

    def _sweep_staging(self, latest: float) -> int:
        """Remove what crashed uploads left, here and in the bucket."""
        num_files = self._staging.sweep(latest)
        objects = [one.key for one in self.bucket.list(_STAGING) if one.modified <= latest]
        for key in objects:
            self.bucket.delete(key)
            _log.info("removed the abandoned file %s", self.bucket.url(key))
        return num_files + len(objects)

    def _copy(self, staged: StagedBlob) -> None:
        digest, key = staged.digest, _STAGING + staged.name
        if not self._hurried.copy(key, _key(digest)):
            raise StoreUnavailable(
                f"{self.bucket.url(key)} was removed while it was published: publish it again"
            )
        self._hurried.delete(_QUARANTINE + digest)
        self._cache.add(digest, staged.read())

    def _discard(self, key: str) -> None:
        """Delete a staged object. If this fails, published objects stay."""
        try:
            self.bucket.delete(key)
        except StoreUnavailable as error:
            _log.warning("a later start removes %s: %s", self.bucket.url(key), error)

    def _blobs(self) -> dict[str, ObjectInfo]:
        listed = {_name(one.key): one for one in self.bucket.list(_BLOBS)}
        return {
            name: one
            for name, one in listed.items()
            if DIGEST.fullmatch(name) and one.key == _key(name)
        }

    def _quarantine(self, one: ObjectInfo, digest: str) -> None:
        target = _QUARANTINE + digest
        self.bucket.move(one.key, target)
        url = self.bucket.url
        _log.warning("%s is unknown to the database and was moved to %s", url(one.key), url(target))

    def _download(self, key: str, digest: str) -> bytes:
        data = self.bucket.find(key)
        if data is not None:
            return data
        source = _QUARANTINE + digest
        if self.bucket.move(source, key):
            url = self.bucket.url
            _log.warning(
                "%s is known to the database and was restored from %s", url(key), url(source)
            )
        return self.bucket.get(key)

    def _anonymous_file(self, data: bytes) -> BufferedReader:
        """Return a file without a name, for a blob that the cache could not keep."""
        with disk("write", self._folder), tempfile.TemporaryFile(dir=self._folder) as file:
            file.write(data)
            file.seek(0)
            return os.fdopen(os.dup(file.fileno()), "rb")


def _key(digest: str) -> str:
    return f"{_BLOBS}{check_is_digest(digest)[:_FOLDER_LETTERS]}/{digest}"


def _name(key: str) -> str:
    return key.rpartition("/")[2]
