"""Publisher: turns staged bytes into a version, or rejects them with every finding."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool

from prefixes import BackboneFingerprint, Finding, Prefix, PrefixRejected
from prefixes.registry import (
    Actor,
    Guard,
    IdempotencyKey,
    PrefixRegistry,
    PublishedVersion,
    StagedBlob,
)
from prefixes.upload_checks import upload_defects

_MAX_AT_ONCE: Final = 2


class Replayer(Protocol):
    """Replays the golden examples of a prefix. The engine does."""

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]: ...


class Publisher:
    """Publishes versions, for uploads, trainings and seeded examples.

    It publishes only a few at a time, because each keeps a whole prefix file in memory.
    """

    def __init__(
        self,
        registry: PrefixRegistry,
        engine: Replayer,
        backbones: Sequence[BackboneFingerprint],
    ) -> None:
        """Set up.

        Args:
            registry: where versions are published.
            engine: replays golden examples.
            backbones: a prefix must fit one of them.
        """
        self._registry = registry
        self._engine = engine
        self._backbones = backbones
        self._turns = asyncio.Semaphore(_MAX_AT_ONCE)

    async def publish(
        self,
        staged: StagedBlob,
        *,
        tenant: str,
        task: str,
        alias: str | None,
        by: Actor,
        once: IdempotencyKey | None = None,
        guard: Guard | None = None,
    ) -> PublishedVersion:
        """Check the bytes, replay the golden examples on their backbone, and publish.

        A repeated publication with the same `once` returns the version of the first one. `guard` is
        as for `PrefixRegistry`.

        Raises:
            PrefixRejected: with every finding. Nothing was published.
            ServingError: when the golden examples cannot be replayed now.
            PrefixError: as `PrefixRegistry.publish`.
        """
        async with self._turns:
            prefix = await self._check(staged)
            publish = partial(self._registry.publish, tenant, task, staged, prefix)
            publish = partial(publish, alias=alias, by=by, once=once, guard=guard)
            return await run_in_threadpool(publish)

    async def check(self, staged: StagedBlob) -> Prefix:
        """Check the bytes and replay the golden examples, but publish nothing.

        Raises: as `publish`.
        """
        async with self._turns:
            return await self._check(staged)

    async def _check(self, staged: StagedBlob) -> Prefix:
        prefix = await run_in_threadpool(self._checked, staged)
        findings = await self._engine.replay(prefix, staged.digest)
        if findings:
            raise PrefixRejected(findings)
        return prefix

    def _checked(self, staged: StagedBlob) -> Prefix:
        prefix = Prefix.from_bytes(staged.read(), fits=self._backbones)
        if defects := upload_defects(prefix.spec):
            raise PrefixRejected(defects)
        return prefix
