"""The engine behind a channel, compared with the engine itself."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Finding, Prefix, PrefixRef
from prefixes.answers import NO_RULES
from prefixes.backbone import Backbone
from prefixes.errors import PrefixRejected, TextTooLong
from prefixes.lengths import LengthOptions
from prefixes.limits import UNLIMITED
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import PrefixRegistry
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResponse, InferenceResult, TaskInput
from server.errors import EngineUnavailable, LimitExceeded, Overloaded, WrongTaskType
from server.hosting.front_ends import call_handler
from server.hosting.front_ends.call_handler import CallHandler
from server.hosting.front_ends.channel import Channel
from server.hosting.front_ends.messages import DrainNotice
from server.hosting.front_ends.remote_engine import RemoteEngine
from server.limits.allowance import NO_ALLOWANCE, Account, Allowance
from server.observability.metrics import Metrics
from server.shutdown import Shutdown
from tests.factories import make_prefix, with_golden, with_rejection
from tests.server.doubles import until
from tests.server.rest import FakeEngine, new_registry, put, put_some

pytestmark = pytest.mark.anyio

REFS = ("acme/mood", "examples/things", "examples/facts", "examples/causes", "examples/vectors")
FIELDS: dict[str, Any] = {
    "acme/mood": {"text": "a good film"},
    "examples/things": {"text": "my card in the city"},
    "examples/facts": {"question": "what was late", "context": "the train was late " * 9},
    "examples/causes": {"premise": "now", "choices": ["a good film", "my card"]},
    "examples/vectors": {"text": "a good film"},
}


def asks(*refs: str) -> list[TaskInput]:
    return [TaskInput(PrefixRef.parse(ref), FIELDS[ref]) for ref in refs]


async def ask(engine: Engine | RemoteEngine, *refs: str, **how: Any) -> list[InferenceResult]:
    return (await respond(engine, *refs, **how)).results


async def respond(engine: Engine | RemoteEngine, *refs: str, **how: Any) -> InferenceResponse:
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


@asynccontextmanager
async def behind_a_channel(engine: Any, metrics: Metrics) -> AsyncIterator[RemoteEngine]:
    ends = socket.socketpair()
    here, there = [await Channel.over(end) for end in ends]
    serving = asyncio.create_task(CallHandler(there, engine, metrics).serve())
    remote = RemoteEngine(Shutdown())
    async with remote.connected(here):
        yield remote
    await asyncio.wait_for(serving, 30)


@pytest.fixture
def registry(tmp_path: Path, backbone: Backbone) -> PrefixRegistry:
    registry, _ = new_registry(tmp_path / "store")
    put_some(registry, backbone.fingerprint)
    return registry


@pytest.fixture
def fake(registry: PrefixRegistry) -> FakeEngine:
    return FakeEngine(registry)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def engine(
    backbone: Backbone, registry: PrefixRegistry, metrics: Metrics
) -> AsyncIterator[Engine]:
    engine = Engine(backbone, registry, EngineLimits(resident_bytes=2**20), metrics)
    await engine.start()
    yield engine
    await engine.stop()


def plain(answers: Sequence[InferenceResult]) -> list[Any]:
    return [
        (
            one.version,
            one.digest,
            one.spec,
            one.fields,
            one.texts,
            one.is_truncated,
            one.num_tokens,
            one.num_windows,
        )
        for one in answers
    ]


async def test_a_remote_engine_gives_the_results_of_the_engine(
    engine: Engine, metrics: Metrics
) -> None:
    async with behind_a_channel(engine, metrics) as remote:
        for _ in range(2):  # with specs and without
            windows = LengthOptions(long_text="windows")
            direct = await ask(engine, *REFS, lengths=windows)
            remotely = await ask(remote, *REFS, lengths=windows)
            assert plain(direct) == plain(remotely)
            for one, other in zip(direct, remotely, strict=True):
                for outputs, same in zip(one.outputs, other.outputs, strict=True):
                    np.testing.assert_allclose(outputs, same, atol=1e-5)


async def test_a_remote_engine_explains_as_the_engine(engine: Engine, metrics: Metrics) -> None:
    how = {"explain": OcclusionOptions(max_parts=2)}
    async with behind_a_channel(engine, metrics) as remote:
        direct, remotely = await ask(engine, *REFS, **how), await ask(remote, *REFS, **how)
    assert [len(one.occluded) for one in direct] == [2, 0, 0, 0, 0]
    for one, other in zip(direct[0].occluded, remotely[0].occluded, strict=True):
        assert (one.part, one.texts) == (other.part, other.texts)
        np.testing.assert_allclose(one.outputs, other.outputs, atol=1e-5)


async def test_projected_features_reach_the_front_end(
    engine: Engine, registry: PrefixRegistry, backbone: Backbone, metrics: Metrics
) -> None:
    put(registry, "acme/mood", with_rejection(make_prefix(backbone.fingerprint, seed=8)))
    (own,) = await ask(engine, "acme/mood")
    async with behind_a_channel(engine, metrics) as remote:
        (other,) = await ask(remote, "acme/mood")
    assert own.features is not None
    assert other.features is not None
    np.testing.assert_allclose(other.features, own.features, atol=1e-5)
    assert other.outputs[0].shape == (2,)
    assert other.spec == own.spec


async def test_front_ends_share_the_limits_of_a_tenant(engine: Engine, metrics: Metrics) -> None:
    allowance = Allowance((Account("tenant", "acme", 0.5, UNLIMITED, UNLIMITED),))
    async with (
        behind_a_channel(engine, metrics) as one,
        behind_a_channel(engine, metrics) as other,
    ):
        remaining = []
        for remote in (one, other, one, other, one):
            response = await respond(remote, "acme/mood", allowance=allowance)
            remaining.append(response.rates[0].remaining)
        assert remaining == [4, 3, 2, 1, 0]
        for remote in (one, other):
            with pytest.raises(LimitExceeded, match="of the tenant acme") as error:
                await respond(remote, "acme/mood", allowance=allowance)
            assert error.value.limit == "requests_per_second"
            assert error.value.rates[0].policy == "tenant-requests"


async def test_front_ends_share_the_rate_of_management_requests(
    engine: Engine, metrics: Metrics
) -> None:
    allowance = Allowance((Account.of_management("tenant", "acme", 0.2),))
    async with (
        behind_a_channel(engine, metrics) as one,
        behind_a_channel(engine, metrics) as other,
    ):
        for remote, left in ((one, 1), (other, 0)):
            (rate,) = await remote.admit_management(allowance)
            assert (rate.policy, rate.remaining) == ("tenant-management-requests", left)
        with pytest.raises(LimitExceeded, match="`management_requests_per_second` of the tenant"):
            await one.admit_management(allowance)


async def test_a_remote_engine_reports_the_counts_of_a_canary(
    engine: Engine, metrics: Metrics
) -> None:
    async with behind_a_channel(engine, metrics) as remote:
        place = ("acme", "mood", "live")
        assert await remote.canary_counts(*place) == await engine.canary_counts(*place)


async def test_concurrent_calls_get_their_own_replies(engine: Engine, metrics: Metrics) -> None:
    async with behind_a_channel(engine, metrics) as remote:
        refs = [REFS[place % len(REFS)] for place in range(60)]
        answers = await asyncio.gather(*(ask(remote, ref) for ref in refs))
        assert [str(one.version).split("@")[0] for (one,) in answers] == refs


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("full", retry_after_seconds=7),
        PrefixRejected((Finding("bad", "spec", "this", "that"),)),
        WrongTaskType("wrong", place=3, task_type="embedding"),
        TextTooLong("long"),
        EngineUnavailable("draining"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_keep_their_attributes(
    fake: FakeEngine, metrics: Metrics, error: Exception
) -> None:
    fake.failure = error
    async with behind_a_channel(fake, metrics) as remote:
        with pytest.raises(type(error)) as raised:
            await ask(remote, "acme/mood")
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


async def test_a_bug_in_the_engine_fails_one_call_only(
    fake: FakeEngine, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    async with behind_a_channel(fake, metrics) as remote:
        fake.failure = ZeroDivisionError("oh")
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            await ask(remote, "acme/mood")
        assert "failed unexpectedly" in caplog.text
        fake.failure = None
        assert len(await ask(remote, "acme/mood")) == 1


async def test_a_reply_that_cannot_be_pickled_is_an_error(
    engine: Engine, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_a_channel(engine, metrics) as remote:
        with monkeypatch.context() as patched:
            patched.setattr(call_handler, "Reply", lambda *_: iter(lambda: 0, 1))  # has no pickle
            with pytest.raises(RuntimeError, match="pickle"):
                await asyncio.wait_for(ask(remote, "acme/mood"), 30)
        (answer,) = await ask(remote, "acme/mood")  # with its spec, which had not arrived
        assert answer.spec.task_type == "sequence_classification"


async def test_work_is_canceled_when_its_caller_is(fake: FakeEngine, metrics: Metrics) -> None:
    fake.hold()
    async with behind_a_channel(fake, metrics) as remote:
        asking = asyncio.create_task(ask(remote, "acme/mood"))
        await until(lambda: fake.num_waiting == 1)
        asking.cancel()
        await until(lambda: fake.num_waiting == 0)
    assert fake.num_cancelled == 1


async def test_work_is_canceled_when_its_front_end_exits(
    fake: FakeEngine, metrics: Metrics
) -> None:
    fake.hold()
    async with behind_a_channel(fake, metrics) as remote:
        asking = asyncio.create_task(ask(remote, "acme/mood"))
        await until(lambda: fake.num_waiting == 1)
    with pytest.raises(EngineUnavailable):
        await asking
    await until(lambda: fake.num_waiting == 0)
    assert fake.num_cancelled == 1


async def test_each_spec_is_sent_once_until_there_are_too_many(
    engine: Engine, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_handler, "_MAX_SPEC_BYTES", 4000)  # of two
    async with behind_a_channel(engine, metrics) as remote:
        kept = remote._specs
        first = await ask(remote, "acme/mood", "examples/things")
        again = await ask(remote, "acme/mood")
        assert len(kept) == 1  # the second message started over: the limit was reached
        assert again[0].spec == first[0].spec
        await ask(remote, "examples/facts")
        assert len(kept) == 2
        assert plain(await ask(remote, *REFS)) == plain(await ask(engine, *REFS))


async def test_uploads_are_replayed_in_the_process_of_the_engine(
    backbone: Backbone, engine: Engine, metrics: Metrics
) -> None:
    good = with_golden(backbone, make_prefix(backbone.fingerprint, seed=40), ("a good film",))
    example = good.spec.golden[0]
    off = example.model_copy(update={"logits": tuple(value + 1 for value in example.logits)})
    bad = Prefix(good.spec.model_copy(update={"golden": (off,)}), good.tensors)
    async with behind_a_channel(engine, metrics) as remote:
        assert await remote.replay(good, "a" * 64) == ()
        (finding,) = await remote.replay(bad, "b" * 64)
        assert finding == (await engine.replay(bad, "c" * 64))[0]


async def test_requests_are_counted_in_the_process_of_the_engine(
    fake: FakeEngine, metrics: Metrics
) -> None:
    async with behind_a_channel(fake, metrics) as remote:
        remote.request_done("/v1/classify", 200, 0.5)
        shown = await remote.exposition()  # comes after what was sent before
    assert b'polyprefix_requests_total{route="/v1/classify",status="200"} 1.0' in shown


async def test_the_problem_of_the_engine_is_returned(fake: FakeEngine, metrics: Metrics) -> None:
    async with behind_a_channel(fake, metrics) as remote:
        assert await remote.find_problem() is None
        fake.problem = "draining"
        assert await remote.find_problem() == "draining"
        assert await remote.find_failure() is None
        fake.device_failure = "the device failed"
        assert await remote.find_failure() == "the device failed"


async def test_calls_fail_when_the_process_of_the_engine_has_exited(metrics: Metrics) -> None:
    ours, theirs = socket.socketpair()
    remote = RemoteEngine(Shutdown())
    async with remote.connected(await Channel.over(ours)) as listening:
        asking = asyncio.create_task(remote.find_problem())
        await asyncio.sleep(0)
        theirs.close()
        with pytest.raises(EngineUnavailable):
            await asking
        await asyncio.wait_for(listening, 30)
        with pytest.raises(EngineUnavailable):
            await remote.find_problem()


async def test_a_front_end_begins_its_shutdown_when_the_engine_drains() -> None:
    ours, theirs = socket.socketpair()
    shutdown, engine_end = Shutdown(), await Channel.over(theirs)
    async with RemoteEngine(shutdown).connected(await Channel.over(ours)):
        engine_end.send(DrainNotice())
        assert await shutdown.wait(30)
        engine_end.close()
