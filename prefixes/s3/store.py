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
from contextlib import contextmanager
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

    @contextmanager
    def stage(self) -> Iterator[StagedBlob]:
        with self._staging.stage() as staged:
            try:
                yield staged
            finally:
                self._discard(staged)

    def prepare(self, staged: StagedBlob) -> None:
        """Send the bytes to the bucket, unless they are there."""
        digest = staged.digest
        if self._prepared.get(staged.name) != digest:
            self.bucket.put(_STAGING + staged.name, staged.read())
            self._prepared[staged.name] = digest

    def commit(self, staged: StagedBlob) -> None:
        """Copy the bytes to their place, over those that are there."""
        self.prepare(staged)
        digest = staged.digest
        self._hurried.copy(_STAGING + staged.name, _key(digest))
        self._hurried.delete(_QUARANTINE + digest)
        self._cache.add(digest, staged.read())

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
        files = self._staging.abandoned(latest)
        for path in files:
            with disk("sweep", path):
                path.unlink(missing_ok=True)
            _log.info("removed the abandoned file %s", path)
        objects = [one.key for one in self.bucket.list(_STAGING) if one.modified <= latest]
        for key in objects:
            self.bucket.delete(key)
            _log.info("removed the abandoned file %s", self.bucket.url(key))
        return len(files) + len(objects)

    def _discard(self, staged: StagedBlob) -> None:
        """Remove staged bytes from the bucket."""
        if self._prepared.pop(staged.name, None) is None:
            return
        key = _STAGING + staged.name
        try:
            self.bucket.delete(key)
        except StoreUnavailable as error:  # the publication has succeeded nevertheless
            _log.warning("the next start removes %s: %s", self.bucket.url(key), error)

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
