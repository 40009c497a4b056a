"""Pins: keeps the operator's chosen prefixes on the device, and follows aliases as they move."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Final

from prefixes import PrefixRef
from prefixes.errors import PrefixError, PrefixNotFound
from prefixes.registry import PrefixRegistry
from server.errors import ServingError
from server.residency.residents import ResidentPrefixes

_ROUND_SECONDS: Final = 1.0
_ROUNDS_UNTIL_RETRY: Final = 60
"""Rounds after which a prefix that could not be pinned is tried again, and logged again."""

_log = logging.getLogger(__name__)


class Pins:
    """References whose prefixes stay on the device. Belongs to the event loop.

    Prefixes are pinned in the order of their references. One that is missing or does not fit is
    logged, and the others are pinned all the same. The references may name any tenant's prefixes.
    """

    def __init__(
        self,
        refs: Sequence[PrefixRef],
        registry: PrefixRegistry,
        residents: ResidentPrefixes,
        threads: Executor,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Note which references to pin.

        Args:
            refs: the references.
            registry: resolves the references.
            residents: the prefixes on the device.
            threads: where the registry is read.
            sleep: waits for the next round.
        """
        self._refs = tuple(dict.fromkeys(refs))
        self._registry = registry
        self._residents = residents
        self._threads = threads
        self._sleep = sleep
        self._pinned: set[str] = set()  # digests
        self._failed: dict[PrefixRef, str | None] = {}  # with their digests; None: not found
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Pin every prefix that can be pinned, then follow the aliases until `stop`."""
        if self._refs:
            await self.follow()
            self._following = asyncio.create_task(self._keep_following())

    def stop(self) -> None:
        """Stop following aliases. Pinned prefixes stay pinned."""
        if self._following is not None:
            self._following.cancel()

    async def follow(self) -> None:
        """Pin the versions that the references resolve to now, and unpin the former ones."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._resolve)
        except PrefixError as error:
            _log.warning("the registry failed, so pinned prefixes stay as they are: %s", error)
            return
        for digest in self._pinned - set(found.values()):
            self._residents.unpin(digest)
            self._pinned.remove(digest)
        for ref in self._refs:
            await self._pin(ref, found.get(ref))

    async def _keep_following(self) -> None:
        while True:
            for _ in range(_ROUNDS_UNTIL_RETRY):
                await self._sleep(_ROUND_SECONDS)
                await self.follow()
            self._failed.clear()

    async def _pin(self, ref: PrefixRef, digest: str | None) -> None:
        if digest in self._pinned or (ref in self._failed and self._failed[ref] == digest):
            return
        self._failed.pop(ref, None)
        try:
            if digest is None:
                raise PrefixNotFound("the prefix does not exist")
            await self._residents.pin(digest)
        except (PrefixError, ServingError) as error:
            self._failed[ref] = digest
            _log.warning("%s is not pinned: %s", ref, error)
        else:
            self._pinned.add(digest)
            _log.info("%s is pinned; its digest is %s", ref, digest)

    def _resolve(self) -> dict[PrefixRef, str]:
        """Find the digests of all references that resolve to a version."""
        by_tenant: dict[str, list[PrefixRef]] = defaultdict(list)
        for ref in self._refs:
            by_tenant[ref.tenant].append(ref)
        found: dict[PrefixRef, str] = {}
        for tenant, refs in by_tenant.items():
            found |= self._find(refs, tenant)
        return found

    def _find(self, refs: Sequence[PrefixRef], tenant: str) -> dict[PrefixRef, str]:
        try:
            targets = self._registry.recall(refs, reader=tenant)
            if targets is None:
                targets = self._registry.resolve(refs, reader=tenant)
        except PrefixNotFound:
            # At least one is missing. Bisecting finds them with few queries.
            middle = len(refs) // 2
            parts = (refs[:middle], refs[middle:]) if middle else ()
            return {
                ref: digest for part in parts for ref, digest in self._find(part, tenant).items()
            }
        return {ref: target.stable.digest for ref, target in targets.items()}
