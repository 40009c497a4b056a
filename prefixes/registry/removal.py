"""PrefixRemoval: deleting, restoring and removing versions and tasks, and the bytes of both."""

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, union

from prefixes.errors import PrefixNotFound, StoreUnavailable
from prefixes.registry.audit import record
from prefixes.registry.catalog import PrefixCatalog
from prefixes.registry.changes import (
    PrefixRow,
    find_prefix,
    remove_prefix,
    remove_version,
)
from prefixes.registry.deletions import find_deleted, forget_deleted
from prefixes.registry.idempotency import forget_expired
from prefixes.registry.purging import purge_tenant
from prefixes.registry.tables import deleted_versions, prefixes, versions
from prefixes.registry.trash import (
    expired_prefixes,
    expired_versions,
    find_trashed_prefixes,
    list_trash,
    remove_trashed,
    remove_trashed_prefix,
    trash_prefix,
    trash_version,
)
from prefixes.registry.values import (
    COMMAND_LINE,
    Actor,
    DeletedPrefix,
    DeletedVersion,
)

_MAX_DIGESTS: Final = 500
"""Maximum number of values in a query. A database allows some tens of thousands."""

_log = logging.getLogger(__name__)


class PrefixRemoval(PrefixCatalog):
    """The published prefixes, and their end.

    What is deleted can be restored until it is removed: by `remove_version` or `remove_prefix`, or
    by `purge_deleted` when its grace period has passed. Bytes go with the last row that names them.
    Every change is possible on a full disk.
    """

    def delete_version(
        self, tenant: str, task: str, version: int, *, by: Actor = COMMAND_LINE
    ) -> None:
        """Delete a version, which can be restored. Its number is not reused.

        Raises:
            PrefixNotFound: when the version does not exist.
            VersionInUse: when an alias points to it, or it is the canary of one.
        """

        def trash(connection: Connection) -> None:
            row = find_prefix(connection, tenant, task)
            trash_version(connection, row, version, by=by)

        self.database.free(trash)
        self.database.reserve_space()

    def remove_version(
        self, tenant: str, task: str, version: int, *, by: Actor = COMMAND_LINE
    ) -> None:
        """Remove a version permanently, whether it is deleted or not. Its number is not reused.

        Raises: as `delete_version`.
        """

        def remove(connection: Connection) -> str:
            row = find_prefix(connection, tenant, task)
            try:
                return remove_trashed(connection, row, version, by)
            except PrefixNotFound:
                return remove_version(connection, row, version, by)

        self._unlink([self.database.free(remove)])

    def delete_prefix(self, tenant: str, task: str, *, by: Actor = COMMAND_LINE) -> None:
        """Delete a task, which can be restored with all versions, aliases and readers.

        Raises:
            PrefixNotFound: when the task does not exist.
        """

        def trash(connection: Connection) -> None:
            row = find_prefix(connection, tenant, task)
            trash_prefix(connection, row)
            record(connection, by, "prefix.delete", row, tenant=tenant)

        self.database.free(trash)
        self.database.reserve_space()

    def remove_prefix(self, tenant: str, task: str, *, by: Actor = COMMAND_LINE) -> None:
        """Remove a task permanently, and all deleted ones of its name. Numbers are not reused.

        Raises:
            PrefixNotFound: when there is neither a task nor a deleted one with this name.
        """

        def remove(connection: Connection) -> set[str]:
            deleted = [
                PrefixRow(row_id, tenant, task)
                for row_id in find_trashed_prefixes(connection, tenant, task)
            ]
            digests = {one for row in deleted for one in remove_trashed_prefix(connection, row, by)}
            try:
                row = find_prefix(connection, tenant, task)
            except PrefixNotFound:
                if not deleted:
                    raise
                return digests
            return digests | remove_prefix(connection, row, by)

        self._unlink(self.database.free(remove))

    def deleted(self, tenant: str) -> tuple[tuple[DeletedPrefix, ...], tuple[DeletedVersion, ...]]:
        """List the deleted tasks of a tenant, and the deleted versions of its other tasks."""
        with self.database.read() as connection:
            return list_trash(connection, tenant)

    def purge_deleted(self, *, before: datetime, by: Actor) -> int:
        """Remove everything that was deleted before a moment; return the number of removals."""
        with self.database.read() as connection:  # a write would disturb the caches of answers
            if not (expired_versions(connection, before) or expired_prefixes(connection, before)):
                return 0

        def purge(connection: Connection) -> tuple[int, set[str]]:
            digests: set[str] = set()
            single = expired_versions(connection, before)
            for row, number in single:
                digests.add(remove_trashed(connection, row, number, by))
            tasks = expired_prefixes(connection, before)
            for row in tasks:
                digests |= remove_trashed_prefix(connection, row, by)
            return len(single) + len(tasks), digests

        num_removed, digests = self.database.free(purge)
        self._unlink(digests)
        return num_removed

    def purge_tenant(self, name: str, *, before: datetime, by: Actor) -> bool:
        """Remove a tenant that was deleted before a moment, with all that it owns.

        Its trainings must be removed first. Returns false, and changes nothing, if the tenant was
        resumed or still has trainings.
        """
        digests = self.database.free(
            lambda connection: purge_tenant(connection, name, before=before, by=by)
        )
        if digests is None:
            return False
        self._unlink(digests)
        return True

    def unpublished(self, digests: Sequence[str]) -> frozenset[str]:
        """Return those of the digests that no version has any more. Deleted ones do not count."""
        known: set[str] = set()
        with self.database.read() as connection:
            for start in range(0, len(digests), _MAX_DIGESTS):
                some = digests[start : start + _MAX_DIGESTS]
                query = _PUBLISHED.where(versions.c.digest.in_(some))
                known.update(connection.scalars(query))
        return frozenset(digests) - known

    def sweep(self, *, older_than_seconds: float = 3600) -> int:
        """Clean up what crashes left behind, at startup. Returns the number of files.

        Bytes are removed only if their version was removed; unknown bytes move to quarantine.
        Newer files are skipped, because another process may be uploading them.
        """
        # During a write transaction, no publication is between storing bytes and adding its row.
        with self.database.write() as connection:
            known = frozenset(connection.scalars(_ALL_DIGESTS))
            deleted = find_deleted(connection)
            num_swept = self.store.sweep(
                known, deleted, older_than_seconds=older_than_seconds, now=time.time()
            )
            forget_deleted(connection, deleted.keys() - (self.store.digests() - known))
            forget_expired(connection)
        return num_swept

    def _unlink(self, digests: Iterable[str]) -> None:
        """Remove blobs that no version refers to, each in a separate transaction.

        The rows are already removed, so a crash leaves bytes for `sweep` and never a row without
        bytes. The transaction changes no row and therefore needs no space on a full disk.
        """
        try:
            for digest in digests:
                self._unlink_one(digest)
        except StoreUnavailable as error:  # the versions are removed nevertheless
            _log.warning(
                "could not remove the bytes of deleted versions; the next start will: %s", error
            )
        self.database.reserve_space()

    def _unlink_one(self, digest: str) -> None:
        """Remove a blob, while the lock of writers keeps others from publishing the same bytes.

        If the lock is lost with the connection, a publication may rely on the bytes: they are
        stored again.
        """
        data = self._bytes_of(digest) if self.database.can_lose_lock else None
        try:
            with self.database.write() as connection:
                if _is_known(connection, digest):
                    return
                self.store.delete(digest)
        except StoreUnavailable:
            if data is not None:
                with self.store.stage() as staged:
                    staged.write(data)
                    self.store.commit(staged)
            raise

    def _bytes_of(self, digest: str) -> bytes | None:
        try:
            return self.store.get(digest)
        except StoreUnavailable:
            return None  # missing or damaged: no version can rely on it


_PUBLISHED = (
    select(versions.c.digest)
    .join(prefixes, prefixes.c.id == versions.c.prefix_id)
    .where(prefixes.c.deleted_at.is_(None))
)
_ALL_DIGESTS = union(select(versions.c.digest), select(deleted_versions.c.digest))


def _is_known(connection: Connection, digest: str) -> bool:
    return any(
        connection.scalar(select(table.c.number).where(table.c.digest == digest).limit(1))
        is not None
        for table in (versions, deleted_versions)
    )
