"""Places of prefix files for tests of every store: a folder and a bucket."""

import uuid
from pathlib import Path
from typing import Protocol

from prefixes.file import MAX_FILE_BYTES
from prefixes.local_store import LocalStore
from prefixes.s3.settings import BucketSettings
from prefixes.store import PrefixStore


class Place(Protocol):
    """Where a store keeps its bytes. Tests damage them here."""

    missing: str
    """A pattern of the message about a blob that does not exist."""

    def open(self, *, max_bytes: int = MAX_FILE_BYTES) -> PrefixStore:
        """Open the store as another process on another machine does."""
        ...

    def name_of(self, digest: str) -> str:
        """Return the name by which messages call a blob."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write a file or an object behind the back of the store."""
        ...


def key_of(digest: str) -> str:
    return f"blobs/{digest[:2]}/{digest}"


class FolderPlace:
    missing = "No such file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "store"

    def open(self, *, max_bytes: int = MAX_FILE_BYTES) -> LocalStore:
        return LocalStore(self._folder, max_bytes=max_bytes)

    def name_of(self, digest: str) -> str:
        return str(self._folder / key_of(digest))

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class BucketPlace:
    missing = "NoSuchKey"

    def __init__(self, settings: BucketSettings, folder: Path) -> None:
        self.settings = settings
        self._folder = folder

    def open(self, *, max_bytes: int = MAX_FILE_BYTES) -> PrefixStore:
        from prefixes.s3.store import S3Store

        return S3Store(self.settings, self._folder / uuid.uuid4().hex, max_bytes=max_bytes)

    def name_of(self, digest: str) -> str:
        return f"{self.settings.url}/{key_of(digest)}"

    def put(self, key: str, data: bytes) -> None:
        from prefixes.s3.bucket import Bucket

        Bucket(self.settings).put(key, data)


def put(store: PrefixStore, data: bytes) -> str:
    """Store bytes as a publication does; return their digest."""
    with store.stage() as staged:
        staged.write(data)
        store.commit(staged)
        return staged.digest
