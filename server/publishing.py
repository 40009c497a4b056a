"""Publisher: staged bytes become a version, or are refused with every finding."""

import asyncio
from functools import partial
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool

from prefixes import BackboneFingerprint, Finding, Prefix, PrefixRejected
from prefixes.registry import PrefixRegistry, Published, Staged

_MAX_AT_ONCE: Final = 2


class Replayer(Protocol):
    """Runs a prefix's golden examples: the engine."""

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]: ...


class Publisher:
    """The one way to a new version on a server, for uploads and for the seeded examples.

    Few at once: each holds a whole prefix file in memory.
    """

    def __init__(
        self, registry: PrefixRegistry, engine: Replayer, backbone: BackboneFingerprint
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._backbone = backbone
        self._turns = asyncio.Semaphore(_MAX_AT_ONCE)

    async def publish(
        self, staged: Staged, *, tenant: str, task: str, alias: str | None, by: str
    ) -> Published:
        """Check the bytes, replay the golden examples on this backbone, then publish.

        Raises:
            PrefixRejected: with every finding; nothing was published.
            ServingError: when the golden examples could not be replayed now.
            PrefixError: as `PrefixRegistry.publish`.
        """
        async with self._turns:
            prefix = await run_in_threadpool(self._checked, staged)
            findings = await self._engine.replay(prefix, staged.digest)
            if findings:
                raise PrefixRejected(findings)
            return await run_in_threadpool(
                partial(self._registry.publish, tenant, task, staged, prefix, alias=alias, by=by)
            )

    def _checked(self, staged: Staged) -> Prefix:
        return Prefix.from_bytes(staged.read(), fits=self._backbone)
