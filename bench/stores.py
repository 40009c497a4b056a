"""Stores of many tasks: with random prefixes, or only registered, without files."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, insert, select

from bench.random_prefixes import random_prefix
from prefixes import BackboneFingerprint, Prefix
from prefixes.registry import Actor, ApiKeys, PrefixRegistry, open_registry
from prefixes.registry.tables import aliases, now, prefixes, tenants, versions

TENANT: Final = "bench"
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Store:
    """A store folder, and a tenant with its key.

    Each of the `tasks` has a prefix of `prefix_bytes` in float32; `num_rows` more are only
    registered.
    """

    folder: Path
    tenant: str
    key: str
    tasks: tuple[str, ...]
    prefix_bytes: int
    num_rows: int

    @property
    def kernel_cache(self) -> Path:
        """The file in which a server of this store caches its kernels."""
        return self.folder / "kernels.json"

    def copy(self, folder: Path) -> Self:
        """Copy the store, for a second server."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)


def make_store(
    folder: Path,
    facts: BackboneFingerprint,
    *,
    num_tasks: int,
    length: int,
    num_rows: int = 0,
    tenant: str = TENANT,
) -> Store:
    """Publish `num_tasks` prefixes, and register `num_rows` more tasks without files.

    The folder may have a store of another tenant. `num_rows` is for one that does not.
    """
    registry = open_registry(folder)
    try:
        registry.ensure_tenant(tenant)
        key = ApiKeys(registry.database).issue(tenant, "bench").key
        tasks = tuple(f"task-{number}" for number in range(num_tasks))
        sizes = [
            _publish(registry, f"{tenant}/{task}", random_prefix(facts, length, seed))
            for seed, task in enumerate(tasks)
        ]
        if num_rows:
            spec = random_prefix(facts, length, 0).spec.model_dump_json()
            for start in range(0, num_rows, _CHUNK):
                numbers = range(start, min(start + _CHUNK, num_rows))
                with registry.database.write() as connection:
                    _register(connection, numbers, spec)
    finally:
        registry.close()
    return Store(folder, tenant, key, tasks, sizes[0], num_rows)


def _publish(registry: PrefixRegistry, name: str, prefix: Prefix) -> int:
    """Publish a prefix as `tenant/task`; return the size of its tensors in bytes."""
    tenant, _, task = name.partition("/")
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        registry.publish(tenant, task, staged, prefix, by=Actor("bench"))
    return sum(tensor.nbytes for tensor in prefix.tensors.values())


def _register(connection: Connection, numbers: Sequence[int], spec: str) -> None:
    """Write only the rows of published tasks, since publishing so many would take hours."""
    tenant = connection.scalar(select(tenants.c.id).where(tenants.c.name == TENANT))
    rows = [
        {"tenant_id": tenant, "task": f"registered-{number}", "next_version": 2}
        for number in numbers
    ]
    added = connection.execute(insert(prefixes).returning(prefixes.c.id), rows)
    ids = added.scalars().all()
    connection.execute(
        insert(versions),
        [
            {
                "prefix_id": id_,
                "number": 1,
                "digest": hashlib.sha256(str(id_).encode()).hexdigest(),
                "size_bytes": 1,
                "created_at": now(),
                "created_by": "bench",
                "spec": spec,
            }
            for id_ in ids
        ],
    )
    live = [{"prefix_id": id_, "name": "live", "version": 1} for id_ in ids]
    connection.execute(insert(aliases), live)


def forget_files(store: Store) -> None:
    """Drop the files from the page cache, so that the next read is from disk."""
    os.sync()  # only pages that are on disk can be dropped
    for path in store.folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
