"""PrefixRegistry: names, versions and aliases per tenant, and the rules by which they change."""

import logging
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Final

from sqlalchemy import Connection, select

from prefixes.checks import parse_spec
from prefixes.errors import PrefixNotFound, StoreUnavailable
from prefixes.names import DEFAULT_ALIAS, PrefixRef, check_alias, check_name
from prefixes.prefix import Prefix
from prefixes.registry.aliases import AliasPointer
from prefixes.registry.changes import (
    add_version,
    find_digest,
    find_prefix,
    open_prefix,
    remove_prefix,
    remove_version,
)
from prefixes.registry.database import Database
from prefixes.registry.deletions import find_deleted, forget_deleted
from prefixes.registry.lookup import find_entry, find_public, find_summaries, find_versions
from prefixes.registry.memory import Remembered
from prefixes.registry.tables import versions
from prefixes.registry.tenants import find_tenant, find_tenants, set_tenant
from prefixes.registry.values import PrefixEntry, PrefixSummary, PrefixVersion, Published, Tenant
from prefixes.spec import PrefixSpec
from prefixes.staging import Staged
from prefixes.store import PrefixStore

_MIN_FREE_BYTES: Final = 16 * 2**20
"""Free space below which a disk counts as nearly full; an upload takes up to 64 MiB."""

_log = logging.getLogger(__name__)


class PrefixRegistry:
    """What is published, by whom, and which version each alias stands for.

    Safe to use from many threads, and from many processes on one folder. A change is one
    transaction: a crash leaves all of it or nothing. `reader` is the tenant that asks, None for
    anybody; a task that the reader may not see is answered like one that does not exist.
    Every method raises StoreUnavailable when the database or the store cannot be used.
    """

    def __init__(self, database: Database, store: PrefixStore) -> None:
        self.database = database
        self.store = store
        self._resolved: Remembered[tuple[PrefixRef, str | None], PrefixVersion] = Remembered(
            database
        )

    def close(self) -> None:
        """Close all connections to the database."""
        self.database.close()

    def ensure_tenant(self, name: str, *, is_public: bool = False) -> Tenant:
        """Make a tenant, or set whether the one that is there is public.

        Raises:
            InvalidName: when the name breaks the grammar.
        """
        with self.database.write() as connection:
            return set_tenant(connection, name, is_public=is_public)

    def tenant(self, name: str) -> Tenant:
        """Read a tenant.

        Raises:
            TenantNotFound: when there is none of that name.
        """
        with self.database.read() as connection:
            return find_tenant(connection, name)

    def tenants(self) -> tuple[Tenant, ...]:
        """List all tenants in the order of their names."""
        with self.database.read() as connection:
            return find_tenants(connection)

    def resolve(
        self, refs: Collection[PrefixRef], *, reader: str | None
    ) -> dict[PrefixRef, PrefixVersion]:
        """Find what each reference stands for now.

        Raises:
            PrefixNotFound: when a reference is unknown or not the reader's; names all of these.
        """

        def read(connection: Connection) -> dict[tuple[PrefixRef, str | None], PrefixVersion]:
            found = find_versions(connection, refs, reader)
            return {(ref, reader): version for ref, version in found.items()}

        return {ref: version for (ref, _), version in self._resolved.ask(read).items()}

    def recall(
        self, refs: Collection[PrefixRef], *, reader: str | None
    ) -> dict[PrefixRef, PrefixVersion] | None:
        """Give what `resolve` would, if that is known without waiting for the database."""
        found = self._resolved.recall([(ref, reader) for ref in refs])
        return None if found is None else {ref: version for (ref, _), version in found.items()}

    def version(self, ref: PrefixRef, *, reader: str | None) -> PrefixVersion:
        """Find what one reference stands for now. Raises as `resolve`."""
        return self.resolve([ref], reader=reader)[ref]

    def spec(self, digest: str) -> PrefixSpec:
        """Read the description of a version by its digest; it never changes.

        Raises:
            PrefixNotFound: when no version has these bytes any more.
        """
        query = select(versions.c.spec).where(versions.c.digest == digest).limit(1)
        with self.database.read() as connection:
            text = connection.scalar(query)
        if text is None:
            raise PrefixNotFound(f"No version has the digest {digest}: it was deleted meanwhile")
        return parse_spec(text)

    def read(self, digest: str) -> bytes:
        """Read the bytes of a version by its digest.

        Raises:
            PrefixNotFound: when no version has these bytes any more.
            StoreCorrupted: when they are no longer those that were published.
            StoreUnavailable: when they cannot be read, though a version has them.
        """
        with self._unless_deleted(digest):
            return self.store.get(digest)

    def open(self, digest: str) -> BufferedReader:
        """Open the verified bytes of a version; they stay whole when it is deleted meanwhile.

        The caller closes the file.

        Raises: as `read`.
        """
        with self._unless_deleted(digest):
            return self.store.open(digest)

    def list_prefixes(
        self, *, reader: str | None, tenant: str | None = None
    ) -> tuple[PrefixSummary, ...]:
        """List all tasks that the reader may see, of one tenant or of all, in order of name."""
        with self.database.read() as connection:
            return find_summaries(connection, reader, tenant)

    def public_example(self) -> PrefixRef | None:
        """Name a task that everybody may use: the first by name, None when there is none."""
        with self.database.read() as connection:
            return find_public(connection)

    def show(self, tenant: str, task: str, *, reader: str | None) -> PrefixEntry:
        """Read one task with its versions, aliases and their history.

        Raises:
            PrefixNotFound: when there is no such task, or it is not the reader's.
        """
        with self.database.read() as connection:
            return find_entry(connection, tenant, task, reader)

    def publish(
        self,
        tenant: str,
        task: str,
        staged: Staged,
        prefix: Prefix,
        *,
        alias: str | None = None,
        by: str,
    ) -> Published:
        """Make checked bytes the next version of a task and point `alias`, if any, to it.

        `prefix` is what the staged bytes say. The same bytes again give the version they have
        and are stored anew, which mends a damaged blob. A task's first version also gets the
        alias `live`. When this returns, the version survives a power cut.

        Raises:
            InvalidName: when the task or the alias breaks the grammar.
            TenantNotFound: when there is no such tenant.
        """
        check_name("task", task)
        moved = [] if alias is None else [check_alias(alias)]
        with self.database.write() as connection:
            row = open_prefix(connection, tenant, task)
            published = add_version(connection, row, staged, prefix.spec, by=by)
            if AliasPointer(connection, row, DEFAULT_ALIAS).version is None:
                moved.insert(0, DEFAULT_ALIAS)
            for name in moved:
                pointer = AliasPointer(connection, row, name)
                pointer.move(published.version.number, kind="publish", by=by)
            # Last, so that whatever is refused above leaves no bytes; yet before the rows are
            # committed, so that no row is ever seen whose bytes are not durable.
            self.store.commit(staged)
        return published

    def promote(self, tenant: str, task: str, alias: str, version: int, *, by: str) -> None:
        """Point an alias to a version; an alias that is missing is made.

        Raises:
            InvalidName: when the alias breaks the grammar.
            PrefixNotFound: when there is no such version.
        """
        check_alias(alias)
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            find_digest(connection, row, version)
            AliasPointer(connection, row, alias).move(version, kind="promote", by=by)

    def replace(
        self, tenant: str, task: str, alias: str, version: int, *, instead_of: int | None, by: str
    ) -> bool:
        """Point an alias to a version, provided that it points to `instead_of` (None: nowhere).

        Says whether it points to the version now.

        Raises: as `promote`.
        """
        check_alias(alias)
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            find_digest(connection, row, version)
            pointer = AliasPointer(connection, row, alias)
            if pointer.version not in {instead_of, version}:
                return False
            pointer.move(version, kind="promote", by=by)
            return True

    def rollback(self, tenant: str, task: str, alias: str, *, by: str) -> int:
        """Take back the last move of an alias that still stands; returns where it points now.

        Called again, it goes further back.

        Raises:
            PrefixNotFound: when there is no such task or alias.
            NothingToRollBack: when no move is left, or the earlier version was deleted.
        """
        with self.database.write() as connection:
            row = find_prefix(connection, tenant, task)
            return AliasPointer(connection, row, alias).undo(by=by)

    def delete_version(self, tenant: str, task: str, version: int) -> None:
        """Delete a version for good; its number is never given again.

        Raises:
            PrefixNotFound: when there is no such version.
            VersionInUse: when an alias points to it.
        """

        def remove(connection: Connection) -> str:
            return remove_version(connection, find_prefix(connection, tenant, task), version)

        self._unlink([self.database.free(remove)])

    def delete_prefix(self, tenant: str, task: str) -> None:
        """Delete a task with all versions, aliases and history; numbers are never given again.

        Raises:
            PrefixNotFound: when there is no such task.
        """

        def remove(connection: Connection) -> frozenset[str]:
            return remove_prefix(connection, find_prefix(connection, tenant, task))

        self._unlink(self.database.free(remove))

    def sweep(self, *, older_than_seconds: float = 3600) -> int:
        """Clean up after crashes; returns the number of files. For each start.

        Bytes are removed only if their version was deleted; unknown bytes move to quarantine.
        Only files older than this are touched: another process may be uploading.
        """
        # In a write transaction no publication is between its bytes and its row.
        with self.database.write() as connection:
            known = frozenset(connection.scalars(select(versions.c.digest)))
            deleted = find_deleted(connection)
            num_swept = self.store.sweep(
                known, deleted, older_than_seconds=older_than_seconds, now=time.time()
            )
            forget_deleted(connection, deleted.keys() - (self.store.digests() - known))
        return num_swept

    @contextmanager
    def _unless_deleted(self, digest: str) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            # Rows go before bytes: whoever resolved the version a moment ago finds neither.
            self.spec(digest)
            raise

    @property
    def free_bytes(self) -> int:
        """Free bytes on the disk of the store or of the database file, whichever has fewer."""
        folders = [self.store.folder]
        if self.database.file is not None:
            folders.append(self.database.file.absolute().parent)
        return min(shutil.disk_usage(folder).free for folder in folders)

    def space_warning(self) -> str | None:
        """Describe a disk that is nearly full, without its path; None while there is space."""
        free = self.free_bytes
        if free >= _MIN_FREE_BYTES:
            return None
        return (
            f"The disk of the store has {free / 2**20:.1f} MiB of free space, expected at least "
            f"{_MIN_FREE_BYTES // 2**20} MiB: uploads, promotes and trainings may fail until "
            "versions are deleted or the disk is enlarged"
        )

    def _unlink(self, digests: Iterable[str]) -> None:
        """Remove blobs that no version refers to, in a transaction of its own.

        The rows are gone for good by then: a crash in between leaves bytes for `sweep`, never a
        row without bytes. Within the transaction nobody can publish the same bytes again. It
        changes no row, so that it needs no space on a full disk.
        """
        try:
            with self.database.write() as connection:
                for digest in digests:
                    query = select(versions.c.number).where(versions.c.digest == digest).limit(1)
                    if connection.scalar(query) is None:
                        self.store.delete(digest)
        except StoreUnavailable as error:  # the versions are deleted all the same
            _log.warning("bytes of deleted versions stay until the next start: %s", error)
        self.database.reserve_space()
