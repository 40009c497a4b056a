"""Residency as a whole: device, host memory, store and registry under one engine."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.errors import PrefixNotFound, StoreUnavailable
from prefixes.lengths import LengthOptions
from prefixes.local_store import LocalStore
from prefixes.registry import PrefixRegistry, Target, open_registry
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResult, TaskInput
from tests.factories import make_prefix
from tests.server.doubles import RecordingMetrics, local_folder, publish

pytestmark = pytest.mark.anyio


class CountingStore(LocalStore):
    """A store that counts its reads."""

    num_reads = 0

    def get(self, digest: str) -> bytes:
        self.num_reads += 1
        return super().get(digest)


class DeletingRegistry(PrefixRegistry):
    """A registry whose tasks are deleted as soon as they are resolved."""

    def resolve(
        self, refs: Collection[PrefixRef], *, reader: str | None
    ) -> dict[PrefixRef, Target]:
        found = super().resolve(refs, reader=reader)
        for ref in found:
            self.remove_prefix(ref.tenant, ref.task)
        return found


@pytest.fixture
def registry(tmp_path: Path) -> PrefixRegistry:
    return open_registry(tmp_path / "store")


def publish_all(registry: PrefixRegistry, backbone: Backbone, *tasks: str) -> None:
    for seed, task in enumerate(tasks):
        publish(registry, "acme", task, make_prefix(backbone.fingerprint, seed=seed))


@asynccontextmanager
async def serving(
    backbone: Backbone, registry: PrefixRegistry, limits: EngineLimits
) -> AsyncIterator[Engine]:
    engine = Engine(backbone, registry, limits, RecordingMetrics())
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def ask(engine: Engine, task: str) -> InferenceResult:
    item = TaskInput(PrefixRef("acme", task, alias="live"), {"text": "a good film"})
    response = await engine.infer(
        [item], reader="acme", lengths=LengthOptions(), timeout_seconds=30
    )
    return response.results[0]


def room_for(backbone: Backbone, num_prefixes: int) -> int:
    return backbone.empty_pool(5 * num_prefixes).nbytes


@pytest.mark.parametrize(("host_bytes", "num_reads"), [(2**20, 2), (0, 4), (None, 4)])
async def test_an_evicted_prefix_is_loaded_from_the_host_cache(
    backbone: Backbone, registry: PrefixRegistry, host_bytes: int | None, num_reads: int
) -> None:
    publish_all(registry, backbone, "a", "b")
    store = registry.store = CountingStore(local_folder(registry))
    limits = EngineLimits(resident_bytes=room_for(backbone, 1), host_bytes=host_bytes)
    async with serving(backbone, registry, limits) as engine:
        first = await ask(engine, "a")
        await ask(engine, "b")
        again = await ask(engine, "a")
        await ask(engine, "b")
        assert engine.resident_stats().num_resident == 1
        assert (engine.resident_stats().host.num_prefixes == 2) == bool(host_bytes)
    assert store.num_reads == num_reads
    assert first.outputs[0].tolist() == again.outputs[0].tolist()


async def test_pinned_prefixes_are_there_before_the_first_request(
    backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish_all(registry, backbone, "a", "b")
    refs = (PrefixRef.parse("acme/missing"), PrefixRef.parse("acme/b"))
    limits = EngineLimits(resident_bytes=room_for(backbone, 2), pinned=refs)
    async with serving(backbone, registry, limits) as engine:
        stats = engine.resident_stats()
        assert (stats.num_resident, stats.num_pinned) == (1, 1)
        await ask(engine, "a")


async def test_a_version_that_is_deleted_before_it_is_loaded_is_not_found(
    backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish_all(registry, backbone, "tone")
    deleting = DeletingRegistry(registry.database, registry.store)
    async with serving(backbone, deleting, EngineLimits(resident_bytes=2**20)) as engine:
        with pytest.raises(PrefixNotFound, match="deleted meanwhile"):
            await ask(engine, "tone")
        assert engine.resident_stats().used_bytes == 0


async def test_a_version_whose_bytes_are_missing_is_a_failure_of_the_store(
    backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish_all(registry, backbone, "tone")
    for digest in registry.store.digests():
        registry.store.delete(digest)
    async with serving(backbone, registry, EngineLimits(resident_bytes=2**20)) as engine:
        with pytest.raises(StoreUnavailable):
            await ask(engine, "tone")
