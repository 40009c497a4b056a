"""PrefixStore: where the bytes of prefix files are kept, by their SHA-256.

`LocalStore` keeps them in a folder, `prefixes.s3.S3Store` in a bucket that several servers share.
"""

import hashlib
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from io import BufferedReader
from typing import Final, Protocol

from prefixes.errors import InvalidName, StoreCorrupted
from prefixes.staging import StagedBlob

DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PrefixStore(Protocol):
    """Immutable blobs, durable once committed, verified on every read.

    Safe to use from many threads and processes. `commit`, `delete` and `sweep` are called within a
    write transaction of the registry, which excludes all other writers of the database. Every
    method raises StoreUnavailable when the store cannot be used.
    """

    @property
    def name(self) -> str:
        """The place of the bytes, for messages."""
        ...

    @property
    def free_bytes(self) -> int:
        """Free bytes on the local disk that the store writes to."""
        ...

    def id(self) -> str | None:
        """Read the id that the store shares with its database; None if it has no id yet."""
        ...

    def set_id(self, store_id: str) -> None:
        """Write the id durably."""
        ...

    def stage(self) -> AbstractContextManager[StagedBlob]:
        """Open a place for new bytes. Unless they are committed within the context, they are lost.

        The bytes are hashed, counted and limited while they are written.
        """
        ...

    def prepared(self, staged: StagedBlob) -> AbstractContextManager[None]:
        """Do the slow part of `commit`, which is called in this context.

        It precedes the transaction that excludes other writers. Nobody sees the bytes yet, and the
        end of the context removes those that were not committed.
        """
        ...

    def commit(self, staged: StagedBlob) -> None:
        """Store the staged bytes under their digest, so that they survive a power failure.

        No reader sees a part of them. A damaged blob with this digest is repaired.
        """
        ...

    def get(self, digest: str) -> bytes:
        """Read a blob and verify its digest.

        Raises:
            InvalidName: when the digest is malformed.
            StoreCorrupted: when the bytes are no longer those that were committed.
            StoreUnavailable: when they are missing or cannot be read.
        """
        ...

    def open(self, digest: str) -> BufferedReader:
        """Verify and open a blob as a file with a descriptor. The caller closes it.

        The file stays readable if the blob is deleted meanwhile.

        Raises: as `get`.
        """
        ...

    def delete(self, digest: str) -> None:
        """Delete a blob, in quarantine too; do nothing if it does not exist."""
        ...

    def digests(self) -> frozenset[str]:
        """List the digests of all blobs."""
        ...

    def quarantined(self) -> frozenset[str]:
        """List the digests of the blobs in quarantine, from where `get` and `open` restore them."""
        ...

    def trainings(self) -> frozenset[str]:
        """List the ids of the trainings whose files are next to the blobs."""
        ...

    def sweep(
        self,
        known: AbstractSet[str],
        deleted: Mapping[str, float],
        *,
        older_than_seconds: float,
        now: float,
    ) -> int:
        """Clean up after crashes. Returns the number of files that were removed or quarantined.

        Two kinds of files are removed: staged files, and blobs that were not stored again after
        their deletion. Blobs that are neither known nor deleted move to quarantine. Files changed
        after `now - older_than_seconds` are skipped, because another process may be writing them.

        Args:
            known: digests that a version refers to.
            deleted: digests of deleted versions, with the time in seconds since the epoch.
            older_than_seconds: minimum age of a file.
            now: seconds since the epoch.
        """
        ...


def check_is_digest(digest: str) -> str:
    """Return a well-formed digest.

    Raises:
        InvalidName: when it is malformed.
    """
    if DIGEST.fullmatch(digest) is None:
        raise InvalidName(f"Invalid digest {digest[:80]!r}: expected 64 hexadecimal digits")
    return digest


def check_bytes(place: object, digest: str, data: bytes) -> bytes:
    """Return bytes that have the digest.

    Raises:
        StoreCorrupted: when they have another one; the message names the place.
    """
    check_digest(place, digest, hashlib.sha256(data).hexdigest(), len(data))
    return data


def check_digest(place: object, digest: str, found: str, num_bytes: int) -> None:
    """Check the digest that was found at a place.

    Raises:
        StoreCorrupted: when it is another one.
    """
    if found != digest:
        raise StoreCorrupted(
            f"The blob {digest} is damaged: {place} holds {num_bytes} bytes with the sha256 "
            f"{found}; publish the same prefix file again, or restore it from a backup"
        )
