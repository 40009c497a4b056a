"""Bucket: the requests to an S3 service, with retries, time limits and errors that name the object.

Keys are relative to the prefix of the settings. Every method raises StoreUnavailable when the
service cannot be reached, or does not allow the request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from prefixes.disk import disk, open_private
from prefixes.errors import StoreUnavailable
from prefixes.s3.failures import describe, is_missing_key
from prefixes.s3.settings import BucketSettings

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import S3Store
except ImportError as error:
    raise StoreUnavailable(
        "A store in a bucket needs the package obstore: run `pip install 'polyprefix[s3]'`"
    ) from error

_CONNECT_SECONDS: Final = 3
_MAX_RETRIES: Final = 5
_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits of one request, in seconds.

    `silent` is the time without a byte after which a reply is given up, `request` that of the whole
    reply. After `retry`, a failed request is not repeated.
    """

    silent: float
    request: float
    retry: float


PATIENT: Final = TimeLimits(silent=10, request=300, retry=15)
HURRIED: Final = TimeLimits(silent=7, request=7, retry=2)
"""For the two requests that a publication or a deletion makes under the lock of writers. Other
writers wait for the lock for 20 seconds.
"""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object. `modified` is in seconds since the epoch, by the clock of the service."""

    key: str
    num_bytes: int
    modified: float
    e_tag: str | None


class Bucket:
    """A bucket. Safe to use from many threads."""

    def __init__(self, settings: BucketSettings, limits: TimeLimits = PATIENT) -> None:
        """Describe the bucket. No request is made yet."""
        self.name = settings.url
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        given = {"endpoint": settings.endpoint_url, "region": settings.region}
        self._store = S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            # The service compares what it received with the checksum, and rejects a difference.
            checksum_algorithm="SHA256",
            config={name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type] # keys of a TypedDict
            client_options={
                "allow_http": settings.allow_http,
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=limits.silent),
                "timeout": timedelta(seconds=limits.request),
            },
            retry_config={
                "max_retries": _MAX_RETRIES,
                "retry_timeout": timedelta(seconds=limits.retry),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
        )

    def url(self, key: str) -> str:
        """Return the URL of an object, for messages."""
        return f"{self.name}/{key}"

    def put(self, key: str, data: bytes | Path) -> None:
        """Store an object whole, durably; it replaces an earlier one."""
        with self._request("write", key):
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """Store an object unless there is one. Returns false if there is.

        A service that knows no conditional writes replaces it.
        """
        with self._request("write", key):
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def get(self, key: str) -> bytes:
        """Read an object, which must exist."""
        with self._request("read", key):
            return bytes(obstore.get(self._store, key).bytes())

    def find(self, key: str) -> bytes | None:
        """Read an object; None if it does not exist."""
        with self._request("read", key):
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError as error:
                if not is_missing_key(error):
                    raise
                return None

    def download(self, key: str, path: Path) -> None:
        """Write an object, which must exist, into a private file. It may be large."""
        with disk("write", path), open(path, "wb", opener=open_private) as file:
            file.writelines(self._chunks(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List the objects below a prefix, which ends with a slash."""
        with self._request("list", prefix):
            for page in obstore.list(self._store, prefix.rstrip("/")):
                yield from map(_info, page)

    def folders(self, prefix: str) -> frozenset[str]:
        """List the names right below a prefix that are prefixes of objects themselves."""
        with self._request("list", prefix):
            found = obstore.list_with_delimiter(self._store, prefix.rstrip("/"))
        return frozenset(one.rstrip("/").rpartition("/")[2] for one in found["common_prefixes"])

    def delete(self, key: str) -> None:
        """Delete an object; do nothing if it does not exist."""
        with self._request("delete", key):
            obstore.delete(self._store, key)

    def copy(self, key: str, target: str) -> bool:
        """Copy an object within the service, over an earlier one.

        Returns false if it does not exist.
        """
        with self._request("copy", key):
            try:
                obstore.copy(self._store, key, target)
            except FileNotFoundError as error:
                if not is_missing_key(error):
                    raise
                return False
        return True

    def move(self, key: str, target: str) -> bool:
        """Copy an object, then delete it. Returns false if it does not exist.

        After a crash in between there are two equal objects, and never none.
        """
        if not self.copy(key, target):
            return False
        self.delete(key)
        return True

    def _chunks(self, key: str) -> Iterator[bytes]:
        with self._request("read", key):
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(chunk)

    @contextmanager
    def _request(self, action: str, key: str) -> Iterator[None]:
        """Convert errors of the client to errors of the store."""
        try:
            yield
        except (BaseError, OSError) as error:
            raise StoreUnavailable(
                f"Could not {action} {self.url(key)}: {describe(error)}"
            ) from None


def _info(found: "obstore.ObjectMeta") -> ObjectInfo:
    return ObjectInfo(
        found["path"], found["size"], found["last_modified"].timestamp(), found["e_tag"]
    )
