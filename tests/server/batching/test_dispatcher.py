import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from prefixes.backbone import MixedBatch, Streams
from server.batching.dispatcher import Dispatcher
from server.batching.runner import BatchResult, Job
from server.batching.scheduler import BatchLimits
from server.batching.work import BACKGROUND, Outcome, Work
from server.errors import DeadlineExceeded, EngineUnavailable, InferenceFailed
from tests.server.doubles import (
    EventCounter,
    MakeWork,
    RecordingMetrics,
    run_ready_tasks,
    settled,
)

pytestmark = pytest.mark.anyio


@dataclass
class FakeRunner:
    """A device that returns each text's length. Each run waits at a gate; tests may break it.

    `next_gate`, if set, returns the gate of each run in turn.

    `started` counts the runs that reached the gate, and `packed` the batches packed ahead.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    started: EventCounter = field(default_factory=EventCounter)
    packed: EventCounter = field(default_factory=EventCounter)
    batches: list[int] = field(default_factory=list)
    num_threads: list[int] = field(default_factory=list)
    niceness: list[int] = field(default_factory=list)
    poison_length: int | None = None
    is_broken: bool = False
    dies: bool = False
    next_gate: Callable[[], threading.Event] | None = None

    def pack(self, jobs: Sequence[Job]) -> MixedBatch | None:
        self.packed.add()
        return None

    def run(self, jobs: Sequence[Job], packed: MixedBatch | None) -> BatchResult:
        gate = self.gate if self.next_gate is None else self.next_gate()
        self.started.add()
        assert gate.wait(30)
        if self.dies:
            raise SystemError("the device thread died")
        self.batches.append(len(jobs))
        self.num_threads.append(torch.get_num_threads())
        self.niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        rows = tuple(self._row(len(text.token_ids)) for text, _ in jobs)
        return BatchResult(rows, 0.001, was_split=any(isinstance(r, Exception) for r in rows))

    def _row(self, length: int) -> np.ndarray[tuple[int], np.dtype[np.float32]] | InferenceFailed:
        if self.is_broken or length == self.poison_length:
            return InferenceFailed("poison")
        return np.array([length], dtype=np.float32)

    def probe(self) -> None:
        if self.is_broken:
            raise RuntimeError("device-side assert")


@pytest.fixture
def runner() -> FakeRunner:
    runner = FakeRunner()
    runner.gate.set()
    return runner


@pytest.fixture
async def dispatcher(runner: FakeRunner, metrics: RecordingMetrics) -> AsyncIterator[Dispatcher]:
    limits = BatchLimits(max_tokens=20, max_rows=8)
    dispatcher = Dispatcher(runner, limits, metrics, Streams(1))  # type: ignore[arg-type]
    await dispatcher.start()
    yield dispatcher
    runner.gate.set()
    await dispatcher.stop()


async def test_every_work_gets_its_own_answer(dispatcher: Dispatcher, make_work: MakeWork) -> None:
    works = [make_work(n) for n in (3, 1, 2)]
    dispatcher.submit(works)
    outcomes = await settled(*works)
    assert [o.outputs[0] for o in outcomes if isinstance(o, Outcome)] == [3, 1, 2]


async def test_works_that_arrive_while_the_device_is_busy_go_together(
    dispatcher: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    first = make_work(2)
    dispatcher.submit([first])
    await runner.started.reach(1)
    rest = [make_work(2) for _ in range(5)]
    for work in rest:
        dispatcher.submit([work])
    await run_ready_tasks()
    runner.gate.set()
    await settled(first, *rest)
    assert runner.batches == [1, 5]


async def test_one_full_batch_is_packed_while_another_runs(
    dispatcher: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    works = [make_work(10) for _ in range(6)]  # three full batches of two
    dispatcher.submit(works)
    await runner.started.reach(1)
    await runner.packed.reach(1)
    await run_ready_tasks()
    assert dispatcher.num_waiting_tokens == 20  # one runs, one is packed, one waits
    runner.gate.set()
    await settled(*works)
    assert runner.batches == [2, 2, 2]


@pytest.fixture
async def two_streams(runner: FakeRunner, metrics: RecordingMetrics) -> AsyncIterator[Dispatcher]:
    limits = BatchLimits(max_tokens=20, max_rows=8)
    dispatcher = Dispatcher(runner, limits, metrics, Streams(2))  # type: ignore[arg-type]
    await dispatcher.start()
    yield dispatcher
    runner.gate.set()
    await dispatcher.stop()


async def test_each_stream_runs_a_batch_and_one_more_is_packed(
    two_streams: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    works = [make_work(10) for _ in range(8)]  # four full batches of two
    two_streams.submit(works)
    await runner.started.reach(2)
    await runner.packed.reach(1)
    await run_ready_tasks()
    assert two_streams.num_waiting_tokens == 20  # two run, one is packed, one waits
    runner.gate.set()
    await settled(*works)
    assert runner.batches == [2, 2, 2, 2]


async def test_a_free_stream_takes_works_while_another_is_busy(
    two_streams: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    first, second, third, fourth = (make_work(2) for _ in range(4))
    for number, work in enumerate((first, second), start=1):
        two_streams.submit([work])
        await runner.started.reach(number)
    two_streams.submit([third])
    two_streams.submit([fourth])
    await run_ready_tasks()
    assert two_streams.num_waiting_tokens == 4  # the first two run, each alone
    runner.gate.set()
    await settled(first, second, third, fourth)
    assert sum(runner.batches) == 4


async def test_queued_works_are_shared_among_the_streams(
    two_streams: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    works = [make_work(2) for _ in range(8)]
    two_streams.submit(works)
    await runner.started.reach(2)
    assert two_streams.num_waiting_tokens == 0
    runner.gate.set()
    await settled(*works)
    assert runner.batches == [4, 4]


async def test_when_a_stream_dies_every_waiting_caller_gets_an_error(
    two_streams: Dispatcher,
    runner: FakeRunner,
    make_work: MakeWork,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner.gate.clear()
    works = [make_work(2) for _ in range(3)]
    for number, work in enumerate(works, start=1):
        two_streams.submit([work])
        await runner.started.reach(min(number, 2))
    runner.dies = True
    runner.gate.set()
    results = await settled(*works)
    assert {type(result) for result in results} == {EngineUnavailable}
    assert two_streams.failure == "a batch could not be run: SystemError"
    assert "the device thread died" in caplog.text


async def test_a_poison_work_fails_alone(
    dispatcher: Dispatcher, runner: FakeRunner, metrics: RecordingMetrics, make_work: MakeWork
) -> None:
    runner.poison_length = 3
    works = [make_work(n) for n in (2, 3, 4)]
    dispatcher.submit(works)
    kinds = [type(result) for result in await settled(*works)]
    assert kinds == [Outcome, InferenceFailed, Outcome]
    assert metrics.num_failed_batches == 1
    assert dispatcher.failure is None


async def test_a_late_work_fails_and_never_reaches_the_device(
    dispatcher: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    work = make_work(2, deadline=0.0)
    dispatcher.submit([work])
    (result,) = await settled(work)
    assert isinstance(result, DeadlineExceeded)
    assert runner.batches == []


async def test_a_lease_is_released_when_its_caller_was_cancelled(
    dispatcher: Dispatcher, make_work: MakeWork
) -> None:
    released = asyncio.Event()
    work = make_work(2, on_release=released.set)
    work.reply.cancel()
    dispatcher.submit([work])
    await asyncio.wait_for(released.wait(), 30)


async def test_a_device_that_fails_everything_fails_every_waiting_caller(
    dispatcher: Dispatcher,
    runner: FakeRunner,
    make_work: MakeWork,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner.is_broken = True
    first = make_work(2)
    dispatcher.submit([first])
    await settled(first)
    runner.gate.clear()
    later = [make_work(2), make_work(2)]
    dispatcher.submit(later)
    runner.gate.set()
    results = await settled(*later)
    assert {type(result) for result in results} <= {EngineUnavailable, InferenceFailed}
    # Callers get the kind of the failure alone. The log has the device's own message.
    assert dispatcher.failure == "the device failed: RuntimeError"
    (record,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "device-side assert"
    last = make_work(2)
    dispatcher.submit([last])
    (result,) = await settled(last)
    assert isinstance(result, EngineUnavailable)


async def test_a_bad_input_alone_in_its_batch_does_not_fail_a_working_device(
    dispatcher: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.poison_length = 2
    bad, good = make_work(2), make_work(3)
    dispatcher.submit([bad])
    await settled(bad)
    dispatcher.submit([good])
    (result,) = await settled(good)
    assert isinstance(result, Outcome)


async def test_no_waiter_hangs_when_the_device_thread_dies(
    dispatcher: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    runner.gate.clear()
    works = [make_work(10) for _ in range(6)]
    dispatcher.submit(works)
    await runner.started.reach(1)
    await runner.packed.reach(1)
    runner.dies = True
    runner.gate.set()
    results = await settled(*works)
    assert {type(result) for result in results} == {EngineUnavailable}
    assert dispatcher.failure is not None


async def test_a_batch_that_the_failing_dispatcher_held_gets_the_reason(
    dispatcher: Dispatcher,
    runner: FakeRunner,
    make_work: MakeWork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail_to_pack(_: Sequence[Job]) -> MixedBatch | None:
        raise RuntimeError("no thread")

    monkeypatch.setattr(runner, "pack", fail_to_pack)
    runner.gate.clear()
    works = [make_work(10) for _ in range(4)]  # one batch runs, the next is packed ahead
    dispatcher.submit(works)
    results = await settled(*works[2:])
    runner.gate.set()
    assert [str(result) for result in results] == [
        "The request was not answered: the dispatcher failed"
    ] * 2
    assert dispatcher.failure == "the dispatcher failed: RuntimeError"


async def test_stopping_fails_the_queued_works(
    runner: FakeRunner, metrics: RecordingMetrics, make_work: MakeWork
) -> None:
    limits = BatchLimits(max_tokens=20, max_rows=1)
    dispatcher = Dispatcher(runner, limits, metrics, Streams(1))  # type: ignore[arg-type]
    await dispatcher.start()
    runner.gate.clear()
    works = [make_work(2) for _ in range(4)]
    dispatcher.submit(works)
    await runner.started.reach(1)
    stopping = asyncio.create_task(dispatcher.stop())
    await run_ready_tasks()
    runner.gate.set()
    await asyncio.wait_for(stopping, 30)
    results = await settled(*works)
    assert isinstance(results[0], Outcome)
    assert isinstance(results[-1], EngineUnavailable)
    assert {str(result) for result in results if isinstance(result, Exception)} == {
        "The request was not answered: the server is shutting down"
    }


@pytest.fixture
async def with_express_lane(
    runner: FakeRunner, metrics: RecordingMetrics
) -> AsyncIterator[Dispatcher]:
    limits = BatchLimits(max_tokens=4096, max_rows=256)
    streams = Streams(1, num_threads=1)
    dispatcher = Dispatcher(runner, limits, metrics, streams)  # type: ignore[arg-type]
    await dispatcher.start()
    yield dispatcher
    runner.gate.set()
    await dispatcher.stop()


@pytest.mark.parametrize(
    ("running", "tenant", "num_tokens", "runs_at_once"),
    [
        (800, "shop", 100, True),
        (800, None, 100, True),
        (800, "shop", 101, False),  # not much shorter
        (800, "flood", 10, False),  # its own batch is the one that runs
        (511, "shop", 10, False),  # the running batch ends soon
    ],
)
async def test_a_short_batch_of_another_tenant_runs_next_to_a_long_one(
    with_express_lane: Dispatcher,
    runner: FakeRunner,
    make_work: MakeWork,
    running: int,
    tenant: str | None,
    num_tokens: int,
    runs_at_once: bool,  # noqa: FBT001 - a column of the table
) -> None:
    runner.gate.clear()
    long = make_work(running, tenant="flood")
    with_express_lane.submit([long])
    await runner.started.reach(1)
    short = make_work(num_tokens, tenant=tenant)
    with_express_lane.submit([short])
    await run_ready_tasks()
    assert with_express_lane.num_waiting_tokens == (0 if runs_at_once else num_tokens)
    runner.gate.set()
    assert all(isinstance(result, Outcome) for result in await settled(long, short))


async def test_a_text_that_is_queued_with_a_flood_does_not_wait_for_its_batch(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, short_gate = threading.Event(), threading.Event()
    runner.next_gate = iter([long_gate, short_gate]).__next__
    short_gate.set()
    long, short = make_work(800, tenant="flood"), make_work(10, tenant="shop")
    with_express_lane.submit([short, long])
    await settled(short)
    assert long.is_wanted
    long_gate.set()
    await settled(long)


@pytest.mark.skipif(sys.platform != "linux", reason="nice values of threads are Linux's")
@pytest.mark.parametrize(
    ("tenant", "num_tokens", "is_lower"),
    [("shop", 511, False), ("shop", 512, True), (BACKGROUND, 10, True)],
)
async def test_long_batches_and_batch_files_run_at_a_lower_priority(
    with_express_lane: Dispatcher,
    runner: FakeRunner,
    make_work: MakeWork,
    tenant: str,
    num_tokens: int,
    is_lower: bool,  # noqa: FBT001 - a column of the table
) -> None:
    await _settle_one(with_express_lane, make_work(num_tokens, tenant=tenant))
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert (runner.niceness[-1] > own) == is_lower


async def test_works_that_wait_for_the_express_lane_go_when_it_is_free(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, runner.gate = runner.gate, threading.Event()
    long_gate.clear()
    gates = iter([long_gate, runner.gate, runner.gate])
    runner.next_gate = gates.__next__
    long = make_work(800, tenant="flood")
    with_express_lane.submit([long])
    await runner.started.reach(1)
    short = [make_work(10, tenant=tenant) for tenant in ("shop", "bank")]
    for work in short:
        with_express_lane.submit([work])
    await runner.started.reach(2)
    assert with_express_lane.num_waiting_tokens == 10
    runner.gate.set()
    await settled(*short)
    assert long.is_wanted
    long_gate.set()
    await settled(long)


async def test_stopping_waits_for_the_express_lane_and_starts_no_other_batch(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, short_gate = threading.Event(), threading.Event()
    runner.next_gate = iter([long_gate, short_gate]).__next__
    long, short = make_work(800, tenant="flood"), make_work(10, tenant="shop")
    for number, work in enumerate([long, short], start=1):
        with_express_lane.submit([work])
        await runner.started.reach(number)
    queued, late = make_work(10, tenant="bank"), make_work(10, tenant="late")
    with_express_lane.submit([queued])
    stopping = asyncio.create_task(with_express_lane.stop())
    await run_ready_tasks()
    with_express_lane.submit([late])
    long_gate.set()
    await settled(long)
    assert not stopping.done()
    short_gate.set()
    await stopping
    results = await settled(long, short, queued, late)
    kinds = [Outcome, Outcome, EngineUnavailable, EngineUnavailable]
    assert [type(result) for result in results] == kinds
    assert runner.started.count == 2


async def test_the_next_text_of_a_tenant_does_not_join_a_long_batch_ahead_of_time(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, short_gate = threading.Event(), threading.Event()
    runner.next_gate = iter([long_gate, *[short_gate] * 20]).__next__
    with_express_lane.submit([make_work(800, tenant="flood")])
    await runner.started.reach(1)
    flood = [make_work(400, tenant="flood") for _ in range(20)]  # more than a full batch
    first, second = make_work(10, tenant="shop"), make_work(10, tenant="shop")
    with_express_lane.submit(flood)
    with_express_lane.submit([first])
    await runner.started.reach(2)
    with_express_lane.submit([second])
    short_gate.set()
    await settled(first, second)
    assert not long_gate.is_set()
    long_gate.set()
    await settled(*flood)


async def test_an_input_that_fails_on_the_lane_is_probed_there(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, short_gate = threading.Event(), threading.Event()
    runner.next_gate = iter([long_gate, short_gate, short_gate]).__next__
    short_gate.set()
    runner.poison_length = 7
    with_express_lane.submit([long := make_work(800, tenant="flood")])
    await runner.started.reach(1)
    with_express_lane.submit([bad := make_work(7, tenant="shop")])
    assert [type(result) for result in await settled(bad)] == [InferenceFailed]
    with_express_lane.submit([good := make_work(5, tenant="shop")])
    assert [type(result) for result in await settled(good)] == [Outcome]
    long_gate.set()
    await settled(long)


async def test_batches_on_the_lane_do_not_change_the_estimate_of_speed(
    with_express_lane: Dispatcher, runner: FakeRunner, make_work: MakeWork
) -> None:
    long_gate, short_gate = threading.Event(), threading.Event()
    runner.next_gate = iter([short_gate, long_gate, short_gate]).__next__
    short_gate.set()
    await _settle_one(with_express_lane, make_work(100))
    speed = with_express_lane.tokens_per_second
    with_express_lane.submit([long := make_work(800, tenant="flood")])
    await runner.started.reach(2)
    await _settle_one(with_express_lane, make_work(10, tenant="shop"))
    assert with_express_lane.tokens_per_second == speed > 0
    long_gate.set()
    await settled(long)


async def _settle_one(dispatcher: Dispatcher, work: Work) -> None:
    dispatcher.submit([work])
    await settled(work)


@pytest.mark.parametrize(("num_tokens", "num_threads"), [(127, 1), (128, 2)])
async def test_a_lone_batch_uses_all_threads_if_it_is_large_enough(
    runner: FakeRunner,
    metrics: RecordingMetrics,
    make_work: MakeWork,
    num_tokens: int,
    num_threads: int,
) -> None:
    streams = Streams(2, num_threads=2)
    dispatcher = Dispatcher(runner, BatchLimits(4096, 8), metrics, streams)  # type: ignore[arg-type]
    await dispatcher.start(lambda _num_tokens: 0.01)
    work = make_work(num_tokens)
    dispatcher.submit([work])
    await settled(work)
    assert runner.num_threads == [num_threads]
    await dispatcher.stop()
