import asyncio
import math
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from prefixes import GoldenExample, Prefix, PrefixRef, digest_of
from prefixes.answers import RuleOptions
from prefixes.backbone import Backbone, pool_of, run_mixed
from prefixes.errors import (
    InputRejected,
    InvalidRules,
    PrefixNotFound,
    StoreCorrupted,
    TextTooLong,
    UnknownLabel,
)
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import Actor, Canaries, CanaryPlan, PrefixRegistry, open_registry
from prefixes.spec import AnswerRules
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResult, TaskInput
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    LimitExceeded,
    Overloaded,
    ResidencyBudgetExceeded,
    TooManyInputs,
    WrongTaskType,
)
from server.limits.allowance import Account, Allowance
from tests.factories import TASKS, encode_each, make_prefix, with_golden, with_tensors
from tests.server.doubles import RecordingMetrics, publish

pytestmark = pytest.mark.anyio


def asks(ref: str, text: str = "a good film") -> TaskInput:
    return TaskInput(PrefixRef.parse(ref), {"text": text})


@pytest.fixture
def registry(tmp_path: Path) -> PrefixRegistry:
    return open_registry(tmp_path / "store")


@pytest.fixture
async def engine(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> AsyncIterator[Engine]:
    limits = EngineLimits(max_waiting=40, max_texts=32, resident_bytes=2**20, num_streams=1)
    engine = Engine(backbone, registry, limits, metrics)
    await engine.start()
    yield engine
    await engine.stop()


async def ask(engine: Engine, *inputs: TaskInput, truncate: bool = True) -> list[InferenceResult]:
    response = await engine.infer(
        inputs, reader="acme", lengths=LengthOptions(truncate=truncate), timeout_seconds=30
    )
    return response.results


async def test_one_request_may_mix_tasks_and_each_text_is_answered_by_its_own(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    prefixes = {
        "tone": make_prefix(backbone.fingerprint, seed=1),
        "topic": make_prefix(backbone.fingerprint, seed=2, prefix_length=9, labels=tuple("abcde")),
        "plain": make_prefix(backbone.fingerprint, seed=3, method="head"),
        "norms": make_prefix(backbone.fingerprint, seed=4, method="vectors"),
    }
    for task, prefix in prefixes.items():
        publish(registry, "acme", task, prefix)
    texts = ["hello city", "what a late train", "my card", "free prize"]
    inputs = [asks(f"acme/{task}", text) for text in texts for task in prefixes]
    await ask(engine, *inputs)  # loads all prefixes
    answers = await ask(engine, *inputs)
    for item, answer in zip(inputs, answers, strict=True):
        prefix = prefixes[item.ref.task]
        pool, (resident,) = pool_of(backbone, [prefix])
        (encoded,) = encode_each(backbone, prefix.spec, [item.fields])
        (alone,) = run_mixed(backbone, pool, [(encoded, resident)])
        np.testing.assert_allclose(answer.outputs[0], alone.numpy(), atol=1e-5)
        assert answer.version == PrefixRef("acme", item.ref.task, version=1)
    assert metrics.batches[-1] == {"rows": 16, "tokens": 72, "distinct": 4}


async def test_a_promoted_version_answers_the_next_request(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    for seed in (1, 2):
        publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, seed=seed))
    before = await ask(engine, asks("acme/tone"))
    registry.promote("acme", "tone", "live", 2, by=Actor("test"))
    after = await ask(engine, asks("acme/tone"))
    assert [before[0].version.version, after[0].version.version] == [1, 2]
    assert not np.allclose(before[0].outputs[0], after[0].outputs[0])


async def test_a_canary_and_its_stable_version_are_exact_in_one_batch(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    prefixes = {seed: make_prefix(backbone.fingerprint, seed=seed) for seed in (1, 2)}
    for prefix in prefixes.values():
        publish(registry, "acme", "tone", prefix)
    Canaries(registry.database).set("acme", "tone", "live", CanaryPlan(2, 50), by=Actor("test"))
    target = registry.resolve([PrefixRef("acme", "tone", alias="live")], reader="acme")
    callers = [f"user {number}" for number in range(8)]
    expected = [target[asks("acme/tone").ref].version_for(caller).number for caller in callers]
    assert set(expected) == {1, 2}
    for version in (1, 2):
        await ask(engine, asks(f"acme/tone@{version}"))  # loads both
    runs = [
        engine.infer(
            [asks("acme/tone")],
            reader="acme",
            lengths=LengthOptions(),
            timeout_seconds=30,
            routing_key=caller,
        )
        for caller in callers
    ]
    answers = [response.results[0] for response in await asyncio.gather(*runs)]
    assert [answer.version.version for answer in answers] == expected
    assert max(int(str(batch["distinct"])) for batch in metrics.batches) == 2
    for version, answer in zip(expected, answers, strict=True):
        prefix = prefixes[version]
        pool, (resident,) = pool_of(backbone, [prefix])
        (encoded,) = encode_each(backbone, prefix.spec, [{"text": "a good film"}])
        (alone,) = run_mixed(backbone, pool, [(encoded, resident)])
        np.testing.assert_allclose(answer.outputs[0], alone.numpy(), atol=1e-5)


async def test_a_prefix_of_another_tenant_is_not_found(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "globex", "secret", make_prefix(backbone.fingerprint))
    with pytest.raises(PrefixNotFound):
        await ask(engine, asks("globex/secret"))


async def test_cached_prefixes_are_as_private_as_others(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    await ask(engine, asks("acme/tone"))
    with pytest.raises(PrefixNotFound):
        await engine.infer(
            [asks("acme/tone")], reader=None, lengths=LengthOptions(), timeout_seconds=30
        )


async def test_a_rejected_input_of_a_list_is_named_by_its_place(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    for task in ("tone", "topic"):
        publish(registry, "acme", task, make_prefix(backbone.fingerprint, max_length=8))
    good, other = asks("acme/tone"), asks("acme/topic")
    with pytest.raises(InputRejected, match="empty") as empty:
        await ask(engine, good, other, good, asks("acme/topic", "  "))
    with pytest.raises(TextTooLong, match="at most 8") as too_long:
        await ask(engine, good, asks("acme/tone", "a " * 20), other, truncate=False)

    assert str(empty.value.among(4)).startswith("input[3]: ")
    assert str(too_long.value.among(3)).startswith("input[1]: ")


async def test_a_truncated_text_is_marked_as_truncated(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, max_length=8))
    (answer,) = await ask(engine, asks("acme/tone", "a " * 20))
    assert (answer.num_tokens, answer.is_truncated) == (8, True)


async def test_a_request_is_admitted_whole_or_not_at_all(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    with pytest.raises(Overloaded, match="limit of 40") as refused:
        await ask(engine, *[asks("acme/tone")] * 41)
    assert refused.value.retry_after_seconds >= 1
    assert metrics.batches == []
    assert len(await ask(engine, *[asks("acme/tone")] * 40)) == 40
    assert engine.num_waiting == 0


async def test_each_choice_of_an_input_counts_as_a_text(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="multiple_choice")
    publish(registry, "acme", "causes", prefix)
    fields = {"premise": "the train was late", "choices": ["now", "it was lost", "very good"]}
    question = TaskInput(PrefixRef.parse("acme/causes"), fields)
    with pytest.raises(TooManyInputs, match="become 33 texts"):
        await ask(engine, *[question] * 11)
    assert metrics.batches == []
    (first, *_) = await ask(engine, *[question] * 10)
    assert [outputs.shape for outputs in first.outputs] == [(1,)] * 3
    two = [ask(engine, *[question] * 8) for _ in range(2)]  # 48 texts, and 40 may wait
    assert {type(one) for one in await asyncio.gather(*two, return_exceptions=True)} == {
        list,
        Overloaded,
    }
    assert engine.num_waiting == 0


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        (RuleOptions(AnswerRules(thresholds={"nobody": 0.5})), UnknownLabel),
        (RuleOptions(level=2), InvalidRules),
    ],
)
async def test_rules_for_unknown_labels_are_rejected_before_anything_is_loaded_or_run(
    engine: Engine,
    backbone: Backbone,
    registry: PrefixRegistry,
    metrics: RecordingMetrics,
    rules: RuleOptions,
    error: type[Exception],
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, labels=("a/x", "b")))
    publish(registry, "acme", "topic", make_prefix(backbone.fingerprint, seed=2))
    inputs = [asks("acme/topic")] if rules.level else [asks("acme/tone"), asks("acme/topic")]
    with pytest.raises(error):
        await engine.infer(
            inputs, reader="acme", lengths=LengthOptions(), timeout_seconds=30, rules=rules
        )
    assert metrics.batches == []
    assert engine.resident_stats().num_resident == 0
    known = RuleOptions(AnswerRules(thresholds={"b": 0.5}), level=2)
    both = [asks("acme/tone"), asks("acme/topic")]
    response = await engine.infer(
        both, reader="acme", lengths=LengthOptions(), timeout_seconds=30, rules=known
    )
    assert len(response.results) == 2


async def test_the_texts_of_an_explanation_are_charged_before_they_run(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    allowance = Allowance((Account("tenant", "acme", math.inf, tokens_per_second=6),))
    ask_with = partial(
        engine.infer,
        [asks("acme/tone", "a good film and a great plot")],
        reader="acme",
        lengths=LengthOptions(),
        timeout_seconds=30,
        allowance=allowance,
    )
    await ask_with()
    assert len(metrics.batches) == 1
    with pytest.raises(LimitExceeded, match="`tokens_per_second` of the tenant acme"):
        await ask_with(explain=OcclusionOptions())
    assert len(metrics.batches) == 1
    await ask_with()


async def test_a_task_of_another_type_is_rejected_before_it_is_loaded_or_tokenized(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    publish(registry, "acme", "vectors", make_prefix(backbone.fingerprint, task_type="embedding"))
    for _ in range(2):  # resolved from the database, then from the registry's memory
        with pytest.raises(WrongTaskType, match=r"input\[1\]: acme/vectors") as rejection:
            await engine.infer(
                [asks("acme/tone"), asks("acme/vectors")],
                reader="acme",
                lengths=LengthOptions(),
                timeout_seconds=30,
                task_type="sequence_classification",
            )
        assert (rejection.value.place, rejection.value.task_type) == (1, "embedding")
    assert (metrics.num_loads, metrics.num_tokenized, metrics.batches) == (0, 0, [])
    assert engine.num_waiting == 0


async def test_a_prefix_that_does_not_fit_on_the_device_names_the_setting_to_raise(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    limits = EngineLimits(resident_bytes=backbone.empty_pool(2).nbytes)
    engine = Engine(backbone, registry, limits, metrics)
    await engine.start()
    prefix = make_prefix(backbone.fingerprint)
    publish(registry, "acme", "tone", prefix)
    with pytest.raises(ResidencyBudgetExceeded, match="POLYPREFIX_RESIDENT_MIB"):
        await ask(engine, asks("acme/tone"))
    (finding,) = await engine.replay(prefix, digest_of(prefix.to_bytes()))
    assert finding.code == "residency_budget_exceeded"
    assert "POLYPREFIX_RESIDENT_MIB" in finding.found
    await engine.stop()


def test_an_engine_belongs_to_the_loop_that_starts_it_and_may_be_built_before_any(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    engine = Engine(backbone, registry, EngineLimits(resident_bytes=2**20), metrics)
    with asyncio.Runner() as loop, asyncio.Runner() as other:
        loop.run(engine.start())
        assert len(loop.run(ask(engine, asks("acme/tone")))) == 1
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            other.run(ask(engine, asks("acme/tone")))
        with pytest.raises(RuntimeError, match="belongs to the event loop"):
            other.run(engine.drain())
        loop.run(engine.stop())


async def test_golden_examples_may_have_more_texts_than_a_request_may(
    engine: Engine, backbone: Backbone
) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="multiple_choice")
    fields = {"premise": "now", "choices": ("it was lost",) * 50}
    example = GoldenExample(fields=fields, logits=(9.0,) * 50)
    spec = prefix.spec.model_copy(update={"golden": (example,)})
    changed = Prefix(spec, prefix.tensors)
    findings = await engine.replay(changed, digest_of(changed.to_bytes()))
    assert {finding.code for finding in findings} == {"golden_mismatch"}
    assert engine.num_waiting == 0


async def test_tokens_that_the_vocabulary_lacks_are_counted(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    await ask(engine, asks("acme/tone", "a good \u6f22 film \u5b57"), asks("acme/tone", "a film"))
    assert (metrics.num_tokens, metrics.num_unknown_tokens) == (7 + 4, 2)


async def test_a_request_past_its_deadline_fails_and_leaves_nothing_behind(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    with pytest.raises(DeadlineExceeded, match="within 0 seconds"):
        await engine.infer(
            [asks("acme/tone")], reader="acme", lengths=LengthOptions(), timeout_seconds=0
        )
    assert engine.num_waiting == 0
    assert len(await ask(engine, asks("acme/tone"))) == 1


async def test_more_prefixes_than_fit_at_once_are_all_answered(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    slot_bytes = backbone.empty_pool(1).nbytes
    length = 2**20 // slot_bytes // 3  # three fit
    for number in range(8):
        prefix = make_prefix(backbone.fingerprint, seed=number, prefix_length=length, max_length=9,
                             position_offset=0)  # fmt: skip
        publish(registry, "acme", f"task-{number}", prefix)
    requests = [ask(engine, *[asks(f"acme/task-{n}") for n in range(8)]) for _ in range(3)]
    answers = await asyncio.gather(*requests)
    assert [len(answer) for answer in answers] == [8] * 3
    assert metrics.num_evictions >= 5


async def test_a_damaged_blob_fails_its_own_request_and_no_other(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry, tmp_path: Path
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, seed=1))
    broken = publish(registry, "acme", "topic", make_prefix(backbone.fingerprint, seed=2))
    path = tmp_path / "store" / "blobs" / broken.digest[:2] / broken.digest
    path.write_bytes(path.read_bytes()[:-1] + b"\x99")
    bad, good = await asyncio.gather(
        ask(engine, asks("acme/topic")), ask(engine, asks("acme/tone")), return_exceptions=True
    )
    assert isinstance(bad, StoreCorrupted)
    assert isinstance(good, list)


async def test_a_device_failure_during_replay_is_not_blamed_on_the_prefix(
    engine: Engine, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> NoReturn:
        monkeypatch.setattr(Engine, "problem", "the device failed")
        raise InferenceFailed("AcceleratorError")

    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), ("a good film",))
    monkeypatch.setattr(engine._golden_replay, "logits", fail)
    with pytest.raises(EngineUnavailable, match="the device failed"):
        await engine.replay(prefix, digest_of(prefix.to_bytes()))


async def test_golden_examples_that_agree_give_no_finding(
    engine: Engine, backbone: Backbone
) -> None:
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), ("a good film", "bad plot"))
    assert await engine.replay(prefix, digest_of(prefix.to_bytes())) == ()


@pytest.mark.parametrize("task_type", sorted(TASKS))
@pytest.mark.parametrize("tensor", ["prefix.values", "head.output.weight"])
async def test_without_golden_examples_a_prefix_that_always_fails_is_rejected(
    engine: Engine, backbone: Backbone, task_type: str, tensor: str
) -> None:
    sound = make_prefix(backbone.fingerprint, task_type=task_type)
    if tensor not in sound.tensors:
        pytest.skip("an embedding has no output layer")
    huge = with_tensors(sound, {tensor: np.full_like(sound.tensors[tensor], 3e38)})
    assert await engine.replay(sound, digest_of(sound.to_bytes())) == ()
    (finding,) = await engine.replay(huge, digest_of(huge.to_bytes()))
    assert finding.code == "made_up_failed"
    assert "not finite" in finding.found
    assert engine.resident_stats().num_resident == 1


async def test_without_golden_examples_a_prefix_too_short_for_any_text_is_rejected(
    engine: Engine, backbone: Backbone
) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="question_answering", max_length=3)
    (finding,) = await engine.replay(prefix, digest_of(prefix.to_bytes()))
    assert finding.code == "made_up_failed"
    assert "too few" in finding.found


async def test_more_golden_examples_than_the_admission_limit_are_replayed_in_parts(
    backbone: Backbone, registry: PrefixRegistry, metrics: RecordingMetrics
) -> None:
    limits = EngineLimits(max_waiting=4, max_texts=4, resident_bytes=2**20, num_streams=1)
    engine = Engine(backbone, registry, limits, metrics)
    await engine.start()
    texts = tuple(f"a film of {number} minutes" for number in range(9))
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), texts)
    assert await engine.replay(prefix, digest_of(prefix.to_bytes())) == ()
    assert sum(int(str(batch["rows"])) for batch in metrics.batches) == len(texts)
    await engine.stop()


async def test_golden_examples_detect_changed_tensors(engine: Engine, backbone: Backbone) -> None:
    prefix = with_golden(backbone, make_prefix(backbone.fingerprint), ("a good film", "bad plot"))
    changed = with_tensors(
        prefix,
        {
            "prefix.keys": prefix.tensors["prefix.values"],
            "prefix.values": prefix.tensors["prefix.keys"],
        },
    )
    findings = await engine.replay(changed, digest_of(changed.to_bytes()))
    assert {finding.code for finding in findings} == {"golden_mismatch"}
    assert engine.resident_stats().num_resident == 0


async def test_a_draining_engine_finishes_its_requests_and_rejects_new_ones(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    running = asyncio.create_task(ask(engine, *[asks("acme/tone")] * 20))
    await asyncio.sleep(0)
    draining = asyncio.create_task(engine.drain())
    await asyncio.sleep(0)
    with pytest.raises(EngineUnavailable, match="draining"):
        await ask(engine, asks("acme/tone"))
    assert len(await running) == 20
    await asyncio.wait_for(draining, 30)


async def test_a_cancelled_caller_leaves_no_lease_behind(
    engine: Engine, backbone: Backbone, registry: PrefixRegistry
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    for delay in (0, 0.001, 0.003, 0.01):
        task = asyncio.create_task(ask(engine, *[asks("acme/tone")] * 10))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await ask(engine, asks("acme/tone"))
    entries = engine._execution.residents._pool._entries.values()
    assert [entry.num_leases for entry in entries] == [0]
    assert engine.num_waiting == 0
