"""Pins: keeps on the device what the operator named, and follows aliases as they move."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

from prefixes import PrefixRef
from prefixes.errors import PrefixError, PrefixNotFound
from prefixes.registry import PrefixRegistry
from server.errors import ServingError
from server.residency.residents import ResidentPrefixes

_ROUND_SECONDS: Final = 1.0
_ROUNDS_UNTIL_RETRY: Final = 60
"""A prefix that could not be pinned is tried again after so many rounds, and told of again."""

_log = logging.getLogger(__name__)


class Pins:
    """References whose prefixes stay on the device. Belongs to the event loop.

    What is missing or does not fit is told to the log and keeps nobody else from anything. Those
    named first are pinned first. The operator's references see every tenant's prefixes.
    """

    def __init__(
        self,
        refs: Sequence[PrefixRef],
        registry: PrefixRegistry,
        residents: ResidentPrefixes,
        threads: Executor,
    ) -> None:
        """Know what to pin; `threads` are those on which the registry is asked."""
        self._refs = tuple(dict.fromkeys(refs))
        self._registry = registry
        self._residents = residents
        self._threads = threads
        self._pinned: set[str] = set()  # digests
        self._failed: dict[PrefixRef, str | None] = {}  # and at which digest; None: not found
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Pin all that can be pinned, then follow the aliases until `stop`."""
        if self._refs:
            await self.follow()
            self._following = asyncio.create_task(self._keep_following())

    def stop(self) -> None:
        """Follow no longer; what is pinned stays."""
        if self._following is not None:
            self._following.cancel()

    async def follow(self) -> None:
        """Pin what the references stand for now, and unpin what they stood for before."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._resolve)
        except PrefixError as error:
            _log.warning("pinned prefixes stay as they are, the registry has failed: %s", error)
            return
        for digest in self._pinned - set(found.values()):
            self._residents.unpin(digest)
            self._pinned.remove(digest)
        for ref in self._refs:
            await self._pin(ref, found.get(ref))

    async def _keep_following(self) -> None:
        while True:
            for _ in range(_ROUNDS_UNTIL_RETRY):
                await asyncio.sleep(_ROUND_SECONDS)
                await self.follow()
            self._failed.clear()

    async def _pin(self, ref: PrefixRef, digest: str | None) -> None:
        if digest in self._pinned or (ref in self._failed and self._failed[ref] == digest):
            return
        self._failed.pop(ref, None)
        try:
            if digest is None:
                raise PrefixNotFound("there is no such prefix")
            await self._residents.pin(digest)
        except (PrefixError, ServingError) as error:
            self._failed[ref] = digest
            _log.warning("%s is not pinned: %s", ref, error)
        else:
            self._pinned.add(digest)
            _log.info("%s is pinned, with the digest %s", ref, digest)

    def _resolve(self) -> dict[PrefixRef, str]:
        """Find the digests of all references that stand for something."""
        by_tenant: dict[str, list[PrefixRef]] = defaultdict(list)
        for ref in self._refs:
            by_tenant[ref.tenant].append(ref)
        found: dict[PrefixRef, str] = {}
        for tenant, refs in by_tenant.items():
            found |= self._find(refs, tenant)
        return found

    def _find(self, refs: Sequence[PrefixRef], tenant: str) -> dict[PrefixRef, str]:
        try:
            versions = self._registry.recall(refs, reader=tenant)
            if versions is None:
                versions = self._registry.resolve(refs, reader=tenant)
        except PrefixNotFound:
            # Some are missing, the others are not: few questions find out which.
            middle = len(refs) // 2
            parts = (refs[:middle], refs[middle:]) if middle else ()
            return {
                ref: digest for part in parts for ref, digest in self._find(part, tenant).items()
            }
        return {ref: version.digest for ref, version in versions.items()}
