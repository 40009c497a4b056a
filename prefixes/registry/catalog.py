"""PrefixCatalog: the read access to the registry."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from typing import Final

from sqlalchemy import Connection, select

from prefixes.checks import parse_spec
from prefixes.errors import DatabaseUnreachable, PrefixNotFound, StoreUnavailable
from prefixes.names import PrefixRef
from prefixes.registry.database import Database
from prefixes.registry.lookup import (
    find_entry,
    find_existing_targets,
    find_public,
    find_summaries,
    find_targets,
)
from prefixes.registry.query_cache import QueryCache
from prefixes.registry.routing import Target
from prefixes.registry.tables import versions
from prefixes.registry.tenants import find_tenant, find_tenants
from prefixes.registry.values import PrefixEntry, PrefixSummary, PrefixVersion, Tenant
from prefixes.spec import PrefixSpec
from prefixes.store import PrefixStore

TargetKey = tuple[PrefixRef, str | None]
"""A reference, and the tenant that resolves it."""

_REFS_OF_A_QUERY: Final = 64


class PrefixCatalog:
    """The published prefixes: tenants, tasks, versions and the targets of aliases.

    Safe to use from many threads, and from many processes on one folder. `reader` is the tenant
    that makes the request, or None for an anonymous caller. A task that the reader may not see is
    reported as missing. Every method raises StoreUnavailable when the database or the store
    cannot be used.
    """

    def __init__(self, database: Database, store: PrefixStore) -> None:
        self.database = database
        self.store = store
        self._targets: QueryCache[TargetKey, Target] = QueryCache(database)

    def close(self) -> None:
        """Close all connections to the database."""
        self.database.close()

    def tenant(self, name: str) -> Tenant:
        """Read a tenant.

        Raises:
            TenantNotFound: when no tenant has that name.
        """
        with self.database.read() as connection:
            return find_tenant(connection, name)

    def tenants(self) -> tuple[Tenant, ...]:
        """List all tenants, sorted by name."""
        with self.database.read() as connection:
            return find_tenants(connection)

    def resolve(
        self, refs: Collection[PrefixRef], *, reader: str | None
    ) -> dict[PrefixRef, Target]:
        """Find what each reference stands for now: its version, and the canary of an alias.

        Raises:
            PrefixNotFound: when a reference is unknown or hidden from the reader; the message
                names all of them.
        """

        def read(connection: Connection) -> dict[TargetKey, Target]:
            found = find_targets(connection, refs, reader)
            return {(ref, reader): target for ref, target in found.items()}

        try:
            found = self._targets.query(read)
        except DatabaseUnreachable:
            known = self.recall(refs, reader=reader)  # from the moment it counts as away
            if known is None:
                raise
            return known
        return {ref: target for (ref, _), target in found.items()}

    def recall(
        self, refs: Collection[PrefixRef], *, reader: str | None
    ) -> dict[PrefixRef, Target] | None:
        """Return what `resolve` would, or None if that requires waiting for the database."""
        found = self._targets.recall([(ref, reader) for ref in refs])
        return None if found is None else {ref: target for (ref, _), target in found.items()}

    def refresh(self) -> None:
        """Read again what was resolved before the last change: an outage needs it cached."""
        self._targets.refresh(_read_again)

    def version(self, ref: PrefixRef, *, reader: str | None) -> PrefixVersion:
        """Find the version that one reference stands for now, the stable one of an alias.

        Raises: as `resolve`.
        """
        return self.resolve([ref], reader=reader)[ref].stable

    def spec(self, digest: str) -> PrefixSpec:
        """Read the description of a version by its digest. It never changes.

        Raises:
            PrefixNotFound: when no version has the digest.
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
            PrefixNotFound: when no version has the digest.
            StoreCorrupted: when the bytes are no longer those that were published.
            StoreUnavailable: when a version has the digest, but its bytes cannot be read.
        """
        with self._unless_deleted(digest):
            return self.store.get(digest)

    def open(self, digest: str) -> BufferedReader:
        """Open the verified bytes of a version. They stay readable if it is deleted meanwhile.

        The caller closes the file.

        Raises: as `read`.
        """
        with self._unless_deleted(digest):
            return self.store.open(digest)

    def list_prefixes(
        self, *, reader: str | None, tenant: str | None = None
    ) -> tuple[PrefixSummary, ...]:
        """List the tasks that the reader may see, of one tenant or of all, sorted by name."""
        with self.database.read() as connection:
            return find_summaries(connection, reader, tenant)

    def public_example(self) -> PrefixRef | None:
        """Return the first public task by name, or None without public tasks."""
        with self.database.read() as connection:
            return find_public(connection)

    def show(self, tenant: str, task: str, *, reader: str | None) -> PrefixEntry:
        """Read one task with its versions, aliases and their history.

        Raises:
            PrefixNotFound: when the task does not exist or is hidden from the reader.
        """
        with self.database.read() as connection:
            return find_entry(connection, tenant, task, reader)

    @contextmanager
    def _unless_deleted(self, digest: str) -> Iterator[None]:
        try:
            yield
        except StoreUnavailable:
            # A deletion removes the rows before the bytes, so a version that was resolved a moment
            # ago may have neither.
            self.spec(digest)
            raise


def _read_again(
    connection: Connection, former: Mapping[TargetKey, Target]
) -> dict[TargetKey, Target]:
    by_reader: dict[str | None, list[PrefixRef]] = defaultdict(list)
    for ref, reader in former:
        by_reader[reader].append(ref)
    found: dict[TargetKey, Target] = {}
    for reader, refs in by_reader.items():
        remaining = iter(refs)
        while some := list(islice(remaining, _REFS_OF_A_QUERY)):
            targets = find_existing_targets(connection, some, reader)
            found |= {(ref, reader): targets[ref] for ref in some if ref in targets}
    return found
