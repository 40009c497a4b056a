"""PrefixRegistry: the rules by which tenants, versions and aliases change."""

import shutil
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from prefixes.limits import NOT_SET, LimitSet
from prefixes.names import DEFAULT_ALIAS, check_alias, check_name
from prefixes.prefix import Prefix
from prefixes.registry.aliases import AliasPointer
from prefixes.registry.audit import record
from prefixes.registry.changes import (
    add_version,
    find_digest,
    find_prefix,
    find_version,
    open_prefix,
)
from prefixes.registry.database import Database
from prefixes.registry.idempotency import IdempotencyKey, find_result, note_result
from prefixes.registry.quotas import check_stored
from prefixes.registry.removal import PrefixRemoval
from prefixes.registry.tenants import set_tenant
from prefixes.registry.trash import restore_bytes, restore_prefix, restore_version
from prefixes.registry.values import (
    COMMAND_LINE,
    Actor,
    PrefixVersion,
    PublishedVersion,
    Tenant,
)
from prefixes.staging import StagedBlob
from prefixes.store import PrefixStore

Guard = Callable[[Connection], None]
"""Raises an exception in the transaction of a change that must not happen any more."""

MIN_FREE_BYTES: Final = 16 * 2**20
"""Free space below which a disk counts as nearly full; an upload takes up to 64 MiB."""


class PrefixRegistry(PrefixRemoval):
    """The published prefixes, and their changes.

    A change and its audit event are one transaction: after a crash, all of it is visible or
    nothing. `by` is who makes the change. `default_limits` apply to tenants without limits of their
    own. With an idempotency key `once`, a repeated change is not made, and the result is that of
    the first one. A key that was used for another change raises IdempotencyKeyReused. `guard` is
    called first in the transaction of a change, and prevents it with an exception.
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
        guard: Guard | None = None,
    ) -> PublishedVersion:
        """Publish checked bytes as the next version of a task and point `alias`, if any, to it.

        `prefix` is the parsed content of the staged bytes. If a version of the task already has
        these bytes, that version is returned, and the bytes are stored again, which repairs a
        damaged blob. If that version was deleted, it is restored. The first version of a task also
        gets the alias `live`. When this method returns, the version survives a power failure.

        Raises:
            InvalidName: when the name of the task or the alias is not valid.
            TenantNotFound: when the tenant does not exist.
            QuotaExceeded: when the tenant would store more than it may.
        """
        check_name("task", task)
        moved = [] if alias is None else [check_alias(alias)]
        with self.store.prepared(staged), self.database.write() as connection:
            _check(guard, connection)
            row = open_prefix(connection, tenant, task)
            if former := find_result(connection, tenant, once):
                version = find_version(connection, row, former.version)
                return PublishedVersion(version, former.is_new)
            is_restored = restore_bytes(connection, row, staged.digest, by=by)
            published = add_version(connection, row, staged, prefix.spec, by=by)
            number, is_new = published.version.number, published.is_new
            if is_new or is_restored:
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
        guard: Guard | None = None,
    ) -> bool:
        """Point an alias to a version if it points to `instead_of` (None: does not exist) now.

        Returns whether the alias now points to the version.

        Raises: as `promote`.
        """
        check_alias(alias)
        with self.database.write() as connection:
            _check(guard, connection)
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

    def restore_version(self, tenant: str, task: str, version: int, *, by: Actor) -> PrefixVersion:
        """Undo the deletion of a version.

        Raises:
            PrefixNotFound: when there is no deleted version with this number.
            QuotaExceeded: when the tenant would have more versions than it may.
        """
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            restore_version(connection, row, version, by=by)
            check_stored(connection, tenant, self._default_limits)
            return find_version(connection, row, version)

    def restore_prefix(self, tenant: str, task: str, *, by: Actor) -> None:
        """Undo the last deletion of a task.

        Raises:
            PrefixNotFound: when there is no deleted task with this name.
            PrefixExists: when there is a new task with this name.
            QuotaExceeded: when the tenant would have more tasks or versions than it may.
        """
        with self.database.write() as connection:
            row = restore_prefix(connection, tenant, task)
            check_stored(connection, tenant, self._default_limits)
            record(connection, by, "prefix.restore", row, tenant=tenant)

    @property
    def free_bytes(self) -> int:
        """Free bytes on the disk of the store or of the database file, whichever has fewer."""
        if self.database.file is None:
            return self.store.free_bytes
        folder = self.database.file.absolute().parent
        return min(self.store.free_bytes, shutil.disk_usage(folder).free)

    def space_warning(self) -> str | None:
        """Describe a disk that is nearly full, without its path; None if there is enough space."""
        free = self.free_bytes
        if free >= MIN_FREE_BYTES:
            return None
        return (
            f"The disk of the store has {free / 2**20:.1f} MiB of free space, expected at least "
            f"{MIN_FREE_BYTES // 2**20} MiB: uploads, promotions and trainings may fail until "
            "versions are deleted or the disk is enlarged"
        )


def _check(guard: Guard | None, connection: Connection) -> None:
    if guard is not None:
        guard(connection)
