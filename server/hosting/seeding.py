"""Seeding: publishes the example prefixes of a folder under the public tenant `examples`."""

import logging
from pathlib import Path
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes import digest_of
from prefixes.errors import (
    InvalidName,
    PrefixNotFound,
    PrefixRejected,
    QuotaExceeded,
    StoreUnavailable,
    TenantNotFound,
)
from prefixes.names import DEFAULT_ALIAS
from prefixes.registry import Actor, PrefixRegistry
from server.publishing import Publisher

EXAMPLES_TENANT: Final = "examples"
_SEEDING: Final = Actor("seeding")
_SKIPPED: Final = (
    PrefixRejected,
    InvalidName,
    QuotaExceeded,
    TenantNotFound,
    StoreUnavailable,
)

_log = logging.getLogger(__name__)


async def seed_examples(folder: Path, registry: PrefixRegistry, publisher: Publisher) -> None:
    """Publish each `TASK.safetensors` of a folder whose digest is not published yet.

    A file that does not fit this server's backbone, is not a prefix, or cannot be stored is skipped
    with a warning in the log. So are all files if the tenant is deleted. Examples must not prevent
    a server from starting.

    Raises:
        StoreUnavailable: when the database cannot be read or written.
    """
    await run_in_threadpool(_ensure_tenant, registry)
    for path in await run_in_threadpool(lambda: sorted(folder.glob("*.safetensors"))):
        try:
            await _seed(path, registry, publisher)
        except _SKIPPED as error:
            _log.warning("skipped the example %s: %s", path.name, error)


def _ensure_tenant(registry: PrefixRegistry) -> None:
    """Create the tenant. An existing one stays private if an operator made it private."""
    try:
        registry.tenant(EXAMPLES_TENANT)
    except TenantNotFound:
        registry.ensure_tenant(EXAMPLES_TENANT, is_public=True, by=_SEEDING)


async def _seed(path: Path, registry: PrefixRegistry, publisher: Publisher) -> None:
    task = path.stem
    data = await run_in_threadpool(path.read_bytes)
    if digest_of(data) in await run_in_threadpool(_digests, registry, task):
        return
    with registry.store.stage() as staged:
        await run_in_threadpool(staged.write, data)
        await publisher.publish(
            staged, tenant=EXAMPLES_TENANT, task=task, alias=DEFAULT_ALIAS, by=_SEEDING
        )
    _log.info("published the example %s as %s/%s", path.name, EXAMPLES_TENANT, task)


def _digests(registry: PrefixRegistry, task: str) -> frozenset[str]:
    try:
        entry = registry.show(EXAMPLES_TENANT, task, reader=EXAMPLES_TENANT)
    except PrefixNotFound:
        return frozenset()
    return frozenset(version.digest for version in entry.versions)
