"""Canaries in a running engine: shadows, and rollbacks by bounds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix, PrefixRef
from prefixes.backbone import Backbone
from prefixes.errors import StoreCorrupted
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import (
    Actor,
    AuditLog,
    Canaries,
    CanaryPlan,
    PrefixRegistry,
    open_registry,
)
from prefixes.registry.audit import AuditFilter
from prefixes.spec import Decisions, LongTexts, TaskType
from server.engine.canaries import shadows
from server.engine.canaries.counts import CanaryCounts
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResult, TaskInput
from tests.factories import make_prefix, with_tensors
from tests.server.doubles import RecordingMetrics, damage, publish, run_ready_tasks, until

pytestmark = pytest.mark.anyio

LIVE = PrefixRef("acme", "tone", alias="live")
BOB = Actor("bob")


@pytest.fixture
def registry(tmp_path: Path) -> PrefixRegistry:
    return open_registry(tmp_path / "store")


@pytest.fixture
def canaries(registry: PrefixRegistry) -> Canaries:
    return Canaries(registry.database)


@pytest.fixture
async def engine(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> AsyncIterator[Engine]:
    limits = EngineLimits(resident_bytes=2**20, num_streams=1)
    engine = Engine(backbone, registry, limits, metrics)
    await engine.start()
    yield engine
    await engine.stop()


def inverted(prefix: Prefix) -> Prefix:
    """The same prefix with the opposite opinion."""
    head = {name: prefix.tensors[name] for name in ("head.output.weight", "head.output.bias")}
    return with_tensors(prefix, {name: -tensor for name, tensor in head.items()})


def put_two(registry: PrefixRegistry, old: Prefix, new: Prefix) -> None:
    publish(registry, "acme", "tone", old)
    publish(registry, "acme", "tone", new)


def start(canaries: Canaries, percent: float, **bounds: float) -> None:
    plan = replace(CanaryPlan(2, percent, min_samples=5), **bounds)  # type: ignore[arg-type]
    canaries.set("acme", "tone", "live", plan, by=BOB)


async def ask(
    engine: Engine, text: str = "a good film", *, key: str | None = "me", times: int = 1
) -> list[InferenceResult]:
    inputs = [TaskInput(LIVE, {"text": text})] * times
    response = await engine.infer(
        inputs, reader="acme", lengths=LengthOptions(), timeout_seconds=30, routing_key=key
    )
    return response.results


async def counts_of(engine: Engine) -> CanaryCounts:
    return await engine.canary_counts("acme", "tone", "live")


async def until_counted(engine: Engine, holds: Callable[[CanaryCounts], bool]) -> CanaryCounts:
    counts = await counts_of(engine)
    await until(lambda: holds(counts))
    return counts


@pytest.mark.parametrize("percent", [0, 100])
async def test_a_shadow_compares_both_versions_and_answers_nobody(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    percent: float,
) -> None:
    old = make_prefix(backbone.fingerprint, seed=1)
    put_two(registry, old, inverted(old))
    start(canaries, percent, shadow_percent=100)
    answers = await ask(engine, times=4)
    expected = 2 if percent else 1
    assert {answer.version.version for answer in answers} == {expected}
    counts = await until_counted(engine, lambda counts: counts.num_compared == 4)
    assert (counts.num_agreed, counts.disagreement_percent) == (0, 100)
    ((pair, number),) = counts.labels.items()
    assert number == 4
    assert pair[0] != pair[1]
    live, shadow = (counts.canary, counts.stable) if percent else (counts.stable, counts.canary)
    assert (live.num_answered, shadow.num_shadows) == (4, 4)
    assert live.answer_seconds > 0
    assert shadow.shadow_seconds > 0


async def test_an_explained_input_is_compared_once_and_not_explained_in_the_shadow(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    metrics: RecordingMetrics,
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    start(canaries, 0, shadow_percent=100)
    response = await engine.infer(
        [TaskInput(LIVE, {"text": "a good film"})],
        reader="acme",
        lengths=LengthOptions(),
        timeout_seconds=30,
        explain=OcclusionOptions(),
    )
    counts = await until_counted(engine, lambda counts: counts.num_compared == 1)
    assert len(response.results[0].occluded) == 3
    assert [batch["rows"] for batch in metrics.batches] == [4, 1]
    assert (counts.stable.num_answered, counts.canary.num_shadows) == (1, 1)


async def test_equal_versions_agree(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    old = make_prefix(backbone.fingerprint, seed=1)
    put_two(registry, old, make_prefix(backbone.fingerprint, seed=1, description="the same"))
    start(canaries, 0, shadow_percent=100, max_disagreement_percent=0)
    await ask(engine, times=6)
    counts = await until_counted(engine, lambda counts: counts.num_compared == 6)
    assert counts.num_agreed == 6
    assert canaries.find("acme", "tone", "live").plan.percent == 0


async def test_exactly_the_share_of_inputs_is_compared(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    start(canaries, 0, shadow_percent=12.5)
    for _ in range(4):
        await ask(engine, times=10)
    counts = await until_counted(engine, lambda counts: counts.num_compared == 5)
    await run_ready_tasks()
    assert (counts.num_compared, counts.num_dropped) == (5, 0)


FIELDS: dict[TaskType, dict[str, Any]] = {
    "sequence_classification": {"text": "a good film"},
    "token_classification": {"text": "my card in the city"},
    "question_answering": {"question": "what was late", "context": "the train was late"},
    "multiple_choice": {"premise": "now", "choices": ["a good film", "my card"]},
    "embedding": {"text": "a good film"},
}


@pytest.mark.parametrize("kind", list(FIELDS))
async def test_answers_of_every_task_type_are_compared(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    kind: TaskType,
) -> None:
    for description in ("old", "new"):
        prefix = make_prefix(
            backbone.fingerprint, seed=1, task_type=kind, max_length=32, description=description
        )
        publish(registry, "acme", "tone", prefix)
    start(canaries, 0, shadow_percent=100)
    await engine.infer(
        [TaskInput(LIVE, FIELDS[kind])], reader="acme", lengths=LengthOptions(), timeout_seconds=30
    )
    counts = await until_counted(engine, lambda counts: counts.num_compared == 1)
    assert counts.num_agreed == 1


@pytest.mark.parametrize("kind", ["sequence_classification", "token_classification", "embedding"])
async def test_merged_answers_of_long_texts_are_compared(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    kind: TaskType,
) -> None:
    rule = Decisions(long_texts=LongTexts(stride=2))
    for decisions in (None, rule):  # the canary has windows of its own
        prefix = make_prefix(
            backbone.fingerprint, seed=1, task_type=kind, max_length=16, decisions=decisions
        )
        publish(registry, "acme", "tone", prefix)
    start(canaries, 0, shadow_percent=100)
    await engine.infer(
        [TaskInput(LIVE, {"text": "the train was late and my card was lost " * 4})],
        reader="acme",
        lengths=LengthOptions(long_text="windows", stride=2),
        timeout_seconds=30,
        routing_key=None,
    )
    counts = await until_counted(engine, lambda counts: counts.num_compared == 1)
    assert (counts.num_agreed, counts.canary.num_failed) == (1, 0)


async def test_a_canary_that_disagrees_too_often_is_rolled_back(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    old = make_prefix(backbone.fingerprint, seed=1)
    put_two(registry, old, inverted(old))
    start(canaries, 100, shadow_percent=100, max_disagreement_percent=40)
    await ask(engine, times=4)
    await until_counted(engine, lambda counts: counts.num_compared == 4)
    assert canaries.find("acme", "tone", "live")
    await ask(engine)
    await until(lambda: alias_canary(registry) is None)
    assert (await ask(engine))[0].version.version == 1
    (alias,) = registry.show("acme", "tone", reader="acme").aliases
    move = alias.moves[-1]
    assert (move.kind, move.from_version, move.to_version) == ("canary_rollback", 2, 1)
    assert move.moved_by == "canary bounds"
    assert move.reason == "disagreement on 100 % of 5 inputs, allowed are at most 40 %"
    (event,) = AuditLog(registry.database).list(AuditFilter(action="canary.rollback"), limit=9)
    assert (event.object, event.actor) == ("acme/tone:live", "canary bounds")


def alias_canary(registry: PrefixRegistry) -> object:
    (alias,) = registry.show("acme", "tone", reader="acme").aliases
    return alias.canary


async def test_a_canary_that_fails_too_often_is_rolled_back(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    second = registry.version(PrefixRef("acme", "tone", version=2), reader="acme")
    damage(registry, second.digest)
    start(canaries, 100, max_error_percent=50)
    for number in range(5):
        assert alias_canary(registry) is not None, number
        with pytest.raises(StoreCorrupted):
            await ask(engine)
    await until(lambda: alias_canary(registry) is None)
    assert (await ask(engine))[0].version.version == 1


async def test_an_input_that_only_the_canary_rejects_counts_as_its_failure(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    put_two(
        registry,
        make_prefix(backbone.fingerprint, seed=1, max_length=32),
        make_prefix(backbone.fingerprint, seed=2, max_length=8),
    )
    start(canaries, 0, shadow_percent=100, max_error_percent=10)
    for _ in range(5):
        await engine.infer(
            [TaskInput(LIVE, {"text": "a good film " * 6})],
            reader="acme",
            lengths=LengthOptions(truncate=False),
            timeout_seconds=30,
        )
    await until(lambda: alias_canary(registry) is None)
    assert (await counts_of(engine)).canary.num_failed == 5


async def test_counts_begin_anew_with_a_new_canary_but_not_with_a_new_share(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    start(canaries, 0)
    await ask(engine, times=2)
    start(canaries, 100)
    await ask(engine)
    counts = await counts_of(engine)
    assert (counts.stable.num_answered, counts.canary.num_answered) == (2, 1)
    canaries.cancel("acme", "tone", "live", by=BOB)
    start(canaries, 100)
    await ask(engine)
    counts = await counts_of(engine)
    assert (counts.stable.num_answered, counts.canary.num_answered) == (0, 1)


async def test_shadows_are_dropped_while_texts_wait_for_the_device(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    monkeypatch.setattr(shadows, "_TIMEOUT_SECONDS", 600.0)  # on a busy machine, too
    start(canaries, 0, shadow_percent=100)
    monkeypatch.setattr(engine._shadows, "_is_idle", lambda: False)
    answers = [answer for _ in range(3) for answer in await ask(engine, times=100)]
    assert len(answers) == 300
    counts = await counts_of(engine)
    assert (counts.num_compared, counts.num_dropped) == (0, 300 - 256)
    monkeypatch.setattr(engine._shadows, "_is_idle", lambda: True)
    counts = await until_counted(engine, lambda counts: counts.num_compared == 256)
    assert counts.num_dropped == 300 - 256


async def test_a_draining_engine_does_not_wait_for_shadows(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    start(canaries, 0, shadow_percent=100)
    monkeypatch.setattr(engine._shadows, "_is_idle", lambda: False)
    await ask(engine, times=20)
    await asyncio.wait_for(engine.drain(), 20)
    assert (await counts_of(engine)).num_compared == 0


async def test_a_failing_shadow_does_not_touch_the_answer(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, canaries: Canaries
) -> None:
    put_two(registry, *(make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)))
    alone = await ask(engine)
    second = registry.version(PrefixRef("acme", "tone", version=2), reader="acme")
    damage(registry, second.digest)
    start(canaries, 0, shadow_percent=100)
    answers = await ask(engine, times=3)
    for answer in answers:
        np.testing.assert_allclose(answer.outputs[0], alone[0].outputs[0], atol=1e-5)
    counts = await until_counted(engine, lambda counts: counts.canary.num_failed == 3)
    assert counts.num_compared == 0
