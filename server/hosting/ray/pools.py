"""EnginePools: the engines of all backbones, and which of them answers which inputs."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from prefixes import BackboneFingerprint, PrefixRef, PrefixRejected, PrefixSpec
from prefixes.checks import check_backbones
from prefixes.registry import PrefixRegistry
from server.engine.resolution import ReferenceResolver
from server.engine.specs import SpecCache
from server.engine.values import InferenceOptions, TaskInput
from server.hosting.ray.calls import EngineReplicas

_MAX_DIGESTS: Final = 65_536
"""Number of digests whose engine is kept: about 10 MB."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class EnginePool:
    """The replicas of the engine of one backbone."""

    fingerprint: BackboneFingerprint
    replicas: EngineReplicas


@dataclass(frozen=True, slots=True, eq=False)
class RequestPart:
    """The inputs of a request that one engine answers, by their places."""

    pool: EnginePool
    places: Sequence[int]


class EnginePools:
    """The engines of an application, one for each backbone. Belongs to the event loop.

    With one backbone, nothing is looked up: its engine answers everything.
    """

    def __init__(self, pools: Sequence[EnginePool], registry: PrefixRegistry) -> None:
        """Set up.

        Args:
            pools: the engines, that of the default backbone first.
            registry: says which backbone a version is for.
        """
        self.all = tuple(pools)
        self._registry = registry
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="divide")
        self._resolver = ReferenceResolver(registry, self._threads)
        self._specs = SpecCache(registry, self._threads)
        self._by_digest: dict[str, EnginePool] = {}

    @property
    def is_single(self) -> bool:
        """Whether there is only one engine."""
        return len(self.all) == 1

    @property
    def fingerprints(self) -> list[BackboneFingerprint]:
        """The backbones, the default first."""
        return [pool.fingerprint for pool in self.all]

    async def divide(
        self, inputs: Sequence[TaskInput], options: InferenceOptions
    ) -> list[RequestPart]:
        """Divide a request between engines, and check what concerns all of its tasks.

        Args:
            inputs: the inputs of the request.
            options: the other arguments of `Engine.infer`.

        Raises:
            PrefixNotFound, WrongTaskType, UnknownLabel, InvalidRules: as `Engine.infer`.
            PrefixRejected: when no engine has the backbone of a version.
        """
        if self.is_single:
            return [RequestPart(self.all[0], range(len(inputs)))]
        found = await self._resolver.resolve(
            inputs,
            reader=options["reader"],
            routing_key=options["routing_key"],
            task_type=options["task_type"],
        )
        digests = {ref: version.digest for ref, version in found.versions.items()}
        pools = await self._find(set(digests.values()))
        if options["rules"].need_labels:
            specs = await self._specs.find(set(digests.values()))
            options["rules"].check(list(specs.values()))
        places: dict[EnginePool, list[int]] = {}
        for place, item in enumerate(inputs):
            places.setdefault(pools[digests[item.ref]], []).append(place)
        return [RequestPart(pool, some) for pool, some in places.items()]

    async def see_changes(self, inputs: Sequence[TaskInput], options: InferenceOptions) -> None:
        """Resolve references in the database, whatever is cached: an engine may be ahead.

        Raises:
            PrefixNotFound: as `divide`.
        """
        refs = {item.ref for item in inputs}
        await self._run(partial(self._registry.resolve, refs, reader=options["reader"]))

    async def of_alias(self, tenant: str, task: str, alias: str) -> EnginePool:
        """Return the engine of the version that an alias points to.

        Raises:
            PrefixNotFound: when there is no such alias.
            PrefixRejected: as `divide`.
        """
        if self.is_single:
            return self.all[0]
        ref = PrefixRef(tenant, task, alias=alias)
        version = await self._run(partial(self._registry.version, ref, reader=tenant))
        return (await self._find({version.digest}))[version.digest]

    def of_spec(self, spec: PrefixSpec) -> EnginePool:
        """Return the engine that a prefix fits.

        Raises:
            PrefixRejected: when it fits none.
        """
        for pool in self.all:
            if not spec.backbone.differences(pool.fingerprint):
                return pool
        raise PrefixRejected(check_backbones(spec, self.fingerprints))

    async def _find(self, digests: Collection[str]) -> dict[str, EnginePool]:
        """Return the engine of each version, by digest."""
        found = {one: self._by_digest[one] for one in digests if one in self._by_digest}
        missing = [digest for digest in digests if digest not in found]
        if missing:
            specs = await self._run(lambda: [self._registry.spec(digest) for digest in missing])
            found |= zip(missing, map(self.of_spec, specs), strict=True)
            if len(self._by_digest) > _MAX_DIGESTS:
                self._by_digest.clear()
            self._by_digest |= found
        return found

    async def _run(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)
