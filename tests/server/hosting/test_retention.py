"""Sweeps of the engine's process: rules, removal after the grace period, and memory."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.lengths import LengthOptions
from prefixes.registry import (
    Actor,
    AnswerStore,
    FeedbackRule,
    FeedbackSettings,
    PrefixRegistry,
    Retention,
    RetentionRule,
    open_registry,
)
from prefixes.registry.recorded_answer_rows import NewAnswer, SealedText
from prefixes.registry.tables import now
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import TaskInput
from server.hosting.retention import RetentionSweeps
from tests.factories import make_prefix
from tests.server.doubles import RecordingMetrics, publish, until

pytestmark = pytest.mark.anyio

BOB = Actor("bob")
NO_GRACE = timedelta(days=-1)


@pytest.fixture
def registry(tmp_path: Path, backbone: Backbone) -> PrefixRegistry:
    """A registry with three versions of acme/tone; live points to the first."""
    registry = open_registry(tmp_path / "store")
    for seed in (1, 2, 3):
        publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, seed=seed))
    return registry


@pytest.fixture
async def engine(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> AsyncIterator[Engine]:
    limits = EngineLimits(resident_bytes=2**20, host_bytes=2**20, num_streams=1)
    engine = Engine(backbone, registry, limits, metrics)
    await engine.start()
    yield engine
    await engine.stop()


def sweeps_of(registry: PrefixRegistry, engine: Engine, grace: timedelta) -> RetentionSweeps:
    answers = AnswerStore(registry.database, max_bytes=10**6)
    return RetentionSweeps(registry, engine, answers, grace=grace, max_feedback_days=5)


async def ask(engine: Engine, version: int) -> str:
    item = TaskInput(PrefixRef("acme", "tone", version=version), {"text": "a good film"})
    response = await engine.infer(
        [item], reader="acme", lengths=LengthOptions(), timeout_seconds=30
    )
    return response.results[0].digest


async def test_memory_of_a_deleted_version_is_freed_and_others_stay(
    engine: Engine, registry: PrefixRegistry
) -> None:
    digests = [await ask(engine, version) for version in (1, 2)]
    sweeps = sweeps_of(registry, engine, timedelta(days=7))
    await sweeps.sweep()
    assert engine.loaded_digests() == set(digests)
    registry.delete_version("acme", "tone", 2, by=BOB)
    await sweeps.sweep()
    assert engine.loaded_digests() == {digests[0]}
    assert engine.resident_stats().num_resident == 1
    assert engine.resident_stats().host.num_prefixes == 1
    registry.restore_version("acme", "tone", 2, by=BOB)
    assert await ask(engine, 2) == digests[1]


async def test_a_sweep_deletes_by_rule_and_removes_after_the_grace_period(
    engine: Engine, registry: PrefixRegistry
) -> None:
    Retention(registry.database).set("acme", "tone", RetentionRule(keep_versions=1), by=BOB)
    await sweeps_of(registry, engine, timedelta(days=7)).sweep()
    versions = registry.show("acme", "tone", reader="acme").versions
    assert [version.number for version in versions] == [1, 3]
    assert len(registry.store.digests()) == 3
    await sweeps_of(registry, engine, NO_GRACE).sweep()
    assert len(registry.store.digests()) == 2


async def test_sweeps_begin_with_the_server(engine: Engine, registry: PrefixRegistry) -> None:
    registry.delete_version("acme", "tone", 2, by=BOB)
    sweeps = sweeps_of(registry, engine, NO_GRACE)
    async with sweeps.running():
        await until(lambda: len(registry.store.digests()) == 2)


async def test_answers_are_removed_after_the_maximum_of_the_operator(
    engine: Engine, registry: PrefixRegistry
) -> None:
    rules = FeedbackSettings(registry.database)
    rules.set("acme", FeedbackRule(is_enabled=True, retention_days=30), by=BOB)
    text = SealedText(b"a text", None)
    AnswerStore(registry.database, max_bytes=10**6).add(
        [
            NewAnswer("acme", "tone", 1, f"r{days}", 0, now() - timedelta(days=days), text, None)
            for days in (4, 6)
        ]
    )
    await sweeps_of(registry, engine, NO_GRACE).sweep()
    assert rules.find("acme").num_answers == 1
