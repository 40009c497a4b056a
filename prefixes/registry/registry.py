"""PrefixRegistry: the rules by which tenants, versions and aliases change."""

import logging
import shutil
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from prefixes.errors import StoreUnavailable
from prefixes.limits import NOT_SET, LimitSet
from prefixes.names import DEFAULT_ALIAS, check_alias, check_name
from prefixes.prefix import Prefix
from prefixes.registry.aliases import AliasPointer
from prefixes.registry.audit import record
from prefixes.registry.catalog import PrefixCatalog
from prefixes.registry.changes import (
    add_version,
    find_digest,
    find_prefix,
    find_version,
    open_prefix,
    remove_prefix,
    remove_version,
)
from prefixes.registry.database import Database
from prefixes.registry.deletions import find_deleted, forget_deleted
from prefixes.registry.idempotency import (
    IdempotencyKey,
    find_result,
    forget_expired,
    note_result,
)
from prefixes.registry.purging import purge_tenant
from prefixes.registry.quotas import check_stored
from prefixes.registry.tables import versions
from prefixes.registry.tenants import set_tenant
from prefixes.registry.values import COMMAND_LINE, Actor, PublishedVersion, Tenant
from prefixes.staging import StagedBlob
from prefixes.store import PrefixStore

_MIN_FREE_BYTES: Final = 16 * 2**20
"""Free space below which a disk counts as nearly full; an upload takes up to 64 MiB."""

_log = logging.getLogger(__name__)


class PrefixRegistry(PrefixCatalog):
    """The published prefixes, and their changes.

    A change and its audit event are one transaction: after a crash, all of it is visible or
    nothing. `by` is who makes the change. `default_limits` apply to tenants without limits of their
    own. With an idempotency key `once`, a repeated change is not made, and the result is that of
    the first one. A key that was used for another change raises IdempotencyKeyReused.
    """

    def __init__(
        self, database: Database, store: PrefixStore, default_limits: LimitSet = NOT_SET
    ) -> None:
        super().__init__(database, store)
        self._default_limits = default_limits

    def ensure_tenant(
        self, name: str, *, is_public: bool = False, by: Actor = COMMAND_LINE
    ) -> Tenant:
        """Create a tenant, or set whether the existing one is public.

        Raises:
            InvalidName: when the name is not valid.
        """
        with self.database.write() as connection:
            return set_tenant(connection, name, is_public=is_public, by=by)

    def publish(
        self,
        tenant: str,
        task: str,
        staged: StagedBlob,
        prefix: Prefix,
        *,
        alias: str | None = None,
        by: Actor,
        once: IdempotencyKey | None = None,
    ) -> PublishedVersion:
        """Publish checked bytes as the next version of a task and point `alias`, if any, to it.

        `prefix` is the parsed content of the staged bytes. If a version of the task already has
        these bytes, that version is returned, and the bytes are stored again, which repairs a
        damaged blob. The first version of a task also gets the alias `live`. When this method
        returns, the version survives a power failure.

        Raises:
            InvalidName: when the name of the task or the alias is not valid.
            TenantNotFound: when the tenant does not exist.
            QuotaExceeded: when the tenant would store more than it may.
        """
        check_name("task", task)
        moved = [] if alias is None else [check_alias(alias)]
        with self.database.write() as connection:
            row = open_prefix(connection, tenant, task)
            if former := find_result(connection, tenant, once):
                version = find_version(connection, row, former.version)
                return PublishedVersion(version, former.is_new)
            published = add_version(connection, row, staged, prefix.spec, by=by)
            number, is_new = published.version.number, published.is_new
            if is_new:
                check_stored(connection, tenant, self._default_limits)
            if AliasPointer(connection, row, DEFAULT_ALIAS).version is None:
                moved.insert(0, DEFAULT_ALIAS)
            for moved_alias in moved:
                AliasPointer(connection, row, moved_alias).move(number, kind="publish", by=by)
            note_result(connection, tenant, once, version=number, is_new=is_new)
            # The bytes are stored after everything that may be rejected, so that a rejection leaves
            # no bytes, and before the commit, so that no row is visible without durable bytes.
            self.store.commit(staged)
        return published

    def promote(
        self,
        tenant: str,
        task: str,
        alias: str,
        version: int,
        *,
        by: Actor,
        once: IdempotencyKey | None = None,
    ) -> None:
        """Point an alias to a version. A missing alias is created.

        Raises:
            InvalidName: when the name of the alias is not valid.
            PrefixNotFound: when the version does not exist.
        """
        check_alias(alias)
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            if find_result(connection, tenant, once):
                return
            find_digest(connection, row, version)
            AliasPointer(connection, row, alias).move(version, kind="promote", by=by)
            note_result(connection, tenant, once, version=version)

    def replace(
        self,
        tenant: str,
        task: str,
        alias: str,
        version: int,
        *,
        instead_of: int | None,
        by: Actor,
        once: IdempotencyKey | None = None,
    ) -> bool:
        """Point an alias to a version if it points to `instead_of` (None: does not exist) now.

        Returns whether the alias now points to the version.

        Raises: as `promote`.
        """
        check_alias(alias)
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            if find_result(connection, tenant, once):
                return True
            find_digest(connection, row, version)
            pointer = AliasPointer(connection, row, alias)
            if pointer.version not in {instead_of, version}:
                return False
            pointer.move(version, kind="promote", by=by)
            note_result(connection, tenant, once, version=version)
            return True

    def rollback(
        self, tenant: str, task: str, alias: str, *, by: Actor, once: IdempotencyKey | None = None
    ) -> int:
        """Undo the last move of an alias that is not undone yet; return its new target.

        Each further call goes back one more move.

        Raises:
            PrefixNotFound: when the task or the alias does not exist.
            NothingToRollBack: when no move is left, or the earlier version was deleted.
        """
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            if former := find_result(connection, tenant, once):
                return former.version
            version = AliasPointer(connection, row, alias).undo(by=by)
            note_result(connection, tenant, once, version=version)
            return version

    def delete_version(
        self, tenant: str, task: str, version: int, *, by: Actor = COMMAND_LINE
    ) -> None:
        """Delete a version permanently. Its number is not reused.

        Raises:
            PrefixNotFound: when the version does not exist.
            VersionInUse: when an alias points to it.
        """

        def remove(connection: Connection) -> str:
            row = find_prefix(connection, tenant, task)
            digest = remove_version(connection, row, version)
            before = {"digest": digest}
            name = row.version(version)
            record(connection, by, "version.delete", name, tenant=tenant, before=before)
            return digest

        self._unlink([self.database.free(remove)])

    def delete_prefix(self, tenant: str, task: str, *, by: Actor = COMMAND_LINE) -> None:
        """Delete a task with all versions, aliases and history. Its numbers are not reused.

        Raises:
            PrefixNotFound: when the task does not exist.
        """

        def remove(connection: Connection) -> frozenset[str]:
            row = find_prefix(connection, tenant, task)
            digests = remove_prefix(connection, row)
            before = {"digests": sorted(digests)}
            record(connection, by, "prefix.delete", row, tenant=tenant, before=before)
            return digests

        self._unlink(self.database.free(remove))

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

    def sweep(self, *, older_than_seconds: float = 3600) -> int:
        """Clean up what crashes left behind, at startup. Returns the number of files.

        Bytes are removed only if their version was deleted; unknown bytes move to quarantine.
        Newer files are skipped, because another process may be uploading them.
        """
        # During a write transaction, no publication is between storing bytes and adding its row.
        with self.database.write() as connection:
            known = frozenset(connection.scalars(select(versions.c.digest)))
            deleted = find_deleted(connection)
            num_swept = self.store.sweep(
                known, deleted, older_than_seconds=older_than_seconds, now=time.time()
            )
            forget_deleted(connection, deleted.keys() - (self.store.digests() - known))
            forget_expired(connection)
        return num_swept

    @property
    def free_bytes(self) -> int:
        """Free bytes on the disk of the store or of the database file, whichever has fewer."""
        folders = [self.store.folder]
        if self.database.file is not None:
            folders.append(self.database.file.absolute().parent)
        return min(shutil.disk_usage(folder).free for folder in folders)

    def space_warning(self) -> str | None:
        """Describe a disk that is nearly full, without its path; None if there is enough space."""
        free = self.free_bytes
        if free >= _MIN_FREE_BYTES:
            return None
        return (
            f"The disk of the store has {free / 2**20:.1f} MiB of free space, expected at least "
            f"{_MIN_FREE_BYTES // 2**20} MiB: uploads, promotions and trainings may fail until "
            "versions are deleted or the disk is enlarged"
        )

    def _unlink(self, digests: Iterable[str]) -> None:
        """Remove blobs that no version refers to, in a separate transaction.

        The rows are already deleted, so a crash leaves bytes for `sweep` and never a row without
        bytes. The transaction keeps others from publishing the same bytes meanwhile. It changes no
        row and therefore needs no space on a full disk.
        """
        try:
            with self.database.write() as connection:
                for digest in digests:
                    query = select(versions.c.number).where(versions.c.digest == digest).limit(1)
                    if connection.scalar(query) is None:
                        self.store.delete(digest)
        except StoreUnavailable as error:  # the versions are deleted nevertheless
            _log.warning(
                "could not remove the bytes of deleted versions; the next start will: %s", error
            )
        self.database.reserve_space()
