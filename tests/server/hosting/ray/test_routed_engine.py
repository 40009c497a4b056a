"""The engine over replicas, without Ray: retries, limits, and answers as those of one engine."""

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

from prefixes import PrefixRef
from prefixes.answers import NO_RULES
from prefixes.backbone import Backbone
from prefixes.lengths import LengthOptions
from prefixes.registry import PrefixRegistry
from server.engine.values import InferenceResponse, TaskInput
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    LimitExceeded,
    Overloaded,
    WrongTaskType,
)
from server.hosting.front_ends.messages import CompactResults, Failure, Reply
from server.hosting.ray import routed_engine
from server.hosting.ray.answering import answer
from server.hosting.ray.calls import EngineCall, ReplicaLost, ReplicasBusy
from server.hosting.ray.pools import EnginePool, EnginePools
from server.hosting.ray.routed_engine import RoutedEngine, dominant_task
from server.limits.allowance import NO_ALLOWANCE, Account, Allowance
from tests.server.doubles import until
from tests.server.rest import FakeEngine, new_registry, put_some

pytestmark = pytest.mark.anyio


class OneReplica:
    """One engine, behind pickles. The first calls fail as a test says."""

    def __init__(self, registry: PrefixRegistry) -> None:
        self.engine = FakeEngine(registry)
        self.registry = registry
        self.failures: list[Exception] = []
        self.tasks: list[str | None] = []
        self.attempts: list[int] = []
        self.num_specs: list[int] = []

    async def call(
        self, call: EngineCall, *, task: str | None, num_tokens: int, attempt: int
    ) -> Reply | Failure:
        self.tasks.append(task)
        self.attempts.append(attempt)
        if self.failures:
            raise self.failures.pop(0)
        sent = pickle.loads(pickle.dumps(call))
        answered = await answer(sent, self.engine, self.registry.database)
        reply: Reply | Failure = pickle.loads(pickle.dumps(answered))
        if isinstance(reply, Reply) and isinstance(reply.value, CompactResults):
            self.num_specs.append(len(reply.value.specs))
        return reply

    async def call_all(self, call: EngineCall) -> list[Reply | Failure]:
        return [await self.call(call, task=None, num_tokens=0, attempt=0)]


@pytest.fixture
def registry(tmp_path: Path, backbone: Backbone) -> PrefixRegistry:
    registry, _ = new_registry(tmp_path / "store")
    put_some(registry, backbone.fingerprint)
    return registry


@pytest.fixture
def replica(registry: PrefixRegistry) -> OneReplica:
    return OneReplica(registry)


def engine_of(replica: OneReplica, backbone: Backbone, registry: PrefixRegistry) -> RoutedEngine:
    """An engine with one backbone. `registry` is that of the ingress."""
    pools = EnginePools([EnginePool(backbone.fingerprint, replica)], registry)
    return RoutedEngine(pools, registry.database)


@pytest.fixture
def engine(replica: OneReplica, backbone: Backbone) -> RoutedEngine:
    return engine_of(replica, backbone, replica.registry)


def asks(*refs: str) -> list[TaskInput]:
    return [TaskInput(PrefixRef.parse(ref), {"text": "a good film"}) for ref in refs]


async def ask(engine: RoutedEngine, *refs: str, **how: Any) -> InferenceResponse:
    usual: dict[str, Any] = {
        "lengths": LengthOptions(),
        "timeout_seconds": 30.0,
        "task_type": None,
        "allowance": NO_ALLOWANCE,
        "routing_key": None,
        "recording": None,
        "explain": None,
        "rules": NO_RULES,
    }
    return await engine.infer(asks(*refs), reader="acme", **(usual | how))


async def test_results_are_in_the_order_of_the_inputs(engine: RoutedEngine) -> None:
    refs = ("examples/mood", "acme/mood", "examples/mood")
    found = await ask(engine, *refs)

    assert [f"{one.version.tenant}/{one.version.task}" for one in found.results] == list(refs)
    assert [one.fields for one in found.results] == [{"text": "a good film"}] * 3


async def test_a_request_goes_to_a_replica_of_the_task_of_most_inputs(
    engine: RoutedEngine, replica: OneReplica
) -> None:
    await ask(engine, "acme/mood", "examples/mood", "examples/mood")

    assert replica.tasks == ["examples/mood"]
    assert dominant_task(asks("acme/mood", "examples/mood")) == "acme/mood"


async def test_a_spec_is_sent_once(engine: RoutedEngine, replica: OneReplica) -> None:
    await ask(engine, "acme/mood")
    await ask(engine, "acme/mood", "examples/mood")
    found = await ask(engine, "acme/mood", "examples/mood")

    assert replica.num_specs == [1, 1, 0]
    assert all(one.spec.labels for one in found.results)


async def test_a_lost_replica_is_not_noticed(engine: RoutedEngine, replica: OneReplica) -> None:
    replica.failures = [ReplicaLost("killed")]

    assert len((await ask(engine, "acme/mood")).results) == 1


async def test_two_lost_replicas_are_an_error_that_says_to_retry(
    engine: RoutedEngine, replica: OneReplica
) -> None:
    replica.failures = [ReplicaLost("killed"), ReplicaLost("killed")]

    with pytest.raises(EngineUnavailable, match="Retry later"):
        await ask(engine, "acme/mood")
    assert len((await ask(engine, "acme/mood")).results) == 1


async def test_a_replica_whose_device_failed_is_passed_over(
    engine: RoutedEngine, replica: OneReplica
) -> None:
    replica.engine.problem = "the device failed"

    with pytest.raises(EngineUnavailable, match="the device failed"):
        await ask(engine, "acme/mood")
    assert replica.attempts == [0, 1]


async def test_busy_replicas_reject(engine: RoutedEngine, replica: OneReplica) -> None:
    replica.failures = [ReplicasBusy("full")]

    with pytest.raises(Overloaded) as error:
        await ask(engine, "acme/mood")
    assert error.value.retry_after_seconds == 1
    assert len(replica.tasks) == 1  # a retry would make it worse


async def test_no_replica_answers_within_the_time(
    engine: RoutedEngine, replica: OneReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routed_engine, "_GRACE_SECONDS", 0.0)
    replica.engine.hold()

    with pytest.raises(DeadlineExceeded, match="No replica"):
        await ask(engine, "acme/mood", timeout_seconds=0.05)
    assert replica.engine.num_cancelled == 1


async def test_errors_of_the_engine_keep_what_they_say(engine: RoutedEngine) -> None:
    with pytest.raises(WrongTaskType) as error:
        await ask(engine, "acme/mood", task_type="embedding")

    assert error.value.place == 0


async def test_limits_are_counted_before_a_replica_is_called(
    engine: RoutedEngine, replica: OneReplica
) -> None:
    allowance = Allowance((Account("tenant", "acme", 0.2),), weight=3.0)
    for _ in range(2):
        found = await ask(engine, "acme/mood", allowance=allowance)
    with pytest.raises(LimitExceeded):
        await ask(engine, "acme/mood", allowance=allowance)

    assert found.rates[0].remaining == 0
    assert len(replica.tasks) == 2


async def test_readiness_is_that_of_a_replica(engine: RoutedEngine, replica: OneReplica) -> None:
    assert await engine.find_problem() is None
    replica.engine.problem = "the device failed"
    assert await engine.find_problem() == "the device failed"
    replica.failures = [ReplicaLost("killed")] * 2
    assert "exited" in str(await engine.find_problem())


async def test_a_canceled_request_is_canceled_in_the_replica(
    engine: RoutedEngine, replica: OneReplica
) -> None:
    replica.engine.hold()
    task = asyncio.create_task(ask(engine, "acme/mood"))
    await until(lambda: replica.engine.num_waiting > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert replica.engine.num_cancelled == 1
