"""A quantized server rejects prefixes that drift too far, at upload and at the first load."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prefixes import Prefix, PrefixRef, PrefixRejected, digest_of
from prefixes.backbone import Backbone, load_backbone, pool_of
from prefixes.lengths import LengthOptions
from prefixes.registry import PrefixRegistry, open_registry
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResult, TaskInput
from server.residency.golden_check import GoldenCheck
from tests.factories import make_prefix, with_golden, with_tensors
from tests.server.doubles import RecordingMetrics, publish

pytestmark = pytest.mark.anyio

TEXTS = ("a good film", "what was the plot?")


@pytest.fixture(scope="module")
def int8(backbone_folder: Path) -> Backbone:
    return load_backbone(backbone_folder, device="cpu", quantize="int8")


@pytest.fixture
def registry(tmp_path: Path) -> PrefixRegistry:
    return open_registry(tmp_path / "store")


@pytest.fixture
async def engine(
    int8: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> AsyncIterator[Engine]:
    engine = Engine(int8, registry, EngineLimits(resident_bytes=2**20), metrics)
    await engine.start()
    yield engine
    await engine.stop()


def honest(backbone: Backbone, *, seed: int = 0) -> Prefix:
    return with_golden(backbone, make_prefix(backbone.fingerprint, seed=seed), TEXTS)


def drifting(backbone: Backbone) -> Prefix:
    prefix = honest(backbone)
    values = prefix.tensors["prefix.values"]
    return with_tensors(prefix, {"prefix.values": -values})


async def ask(engine: Engine, *tasks: str) -> list[InferenceResult]:
    inputs = [
        TaskInput(PrefixRef.parse(f"acme/{task}"), {"text": "a great plot"}) for task in tasks
    ]
    response = await engine.infer(
        inputs, reader="acme", lengths=LengthOptions(), timeout_seconds=30
    )
    return response.results


async def test_a_stored_prefix_that_passes_its_golden_examples_is_served(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", honest(backbone))

    first, second = await ask(engine, "tone"), await ask(engine, "tone")

    assert first[0].outputs[0].tolist() == second[0].outputs[0].tolist()
    assert metrics.num_loads == 1


async def test_a_prefix_without_golden_examples_is_served(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))

    assert len(await ask(engine, "tone")) == 1


async def test_a_stored_prefix_that_drifts_too_far_is_rejected_and_evicted(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "drifts", drifting(backbone))
    publish(registry, "acme", "tone", honest(backbone, seed=1))

    for _ in range(2):
        with pytest.raises(PrefixRejected) as caught:
            await ask(engine, "drifts")
        assert {finding.code for finding in caught.value.findings} == {"golden_mismatch"}

    assert engine.resident_stats().used_bytes == 0
    assert len(await ask(engine, "tone")) == 1


async def test_a_rejected_prefix_is_rejected_again_without_a_replay(
    int8: Backbone, backbone: Backbone
) -> None:
    check = GoldenCheck(int8)
    pool, (resident,) = pool_of(int8, [drifting(backbone)])
    for _ in range(2):
        with pytest.raises(PrefixRejected):
            check("0" * 64, resident, pool)


async def test_an_upload_is_rejected_only_when_it_drifts_too_far(
    engine: Engine, backbone: Backbone
) -> None:
    good, bad = honest(backbone), drifting(backbone)

    assert await engine.replay(good, digest_of(good.to_bytes())) == ()
    findings = await engine.replay(bad, digest_of(bad.to_bytes()))

    assert {finding.code for finding in findings} == {"golden_mismatch"}


async def test_a_backbone_in_float32_does_not_replay_what_was_accepted(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "drifts", drifting(backbone))
    engine = Engine(backbone, registry, EngineLimits(resident_bytes=2**20), metrics)
    await engine.start()

    assert len(await ask(engine, "drifts")) == 1

    await engine.stop()
