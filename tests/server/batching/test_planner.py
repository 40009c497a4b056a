"""The batches of the express lane. `test_dispatcher.py` runs them."""

import pytest

from server.batching.planner import BatchPlanner, RunningBatch
from server.batching.scheduler import BatchLimits
from tests.server.doubles import MakeWork

pytestmark = pytest.mark.anyio

FLOOD = RunningBatch(2048, frozenset({"flood"}))


@pytest.fixture
def planner() -> BatchPlanner:
    return BatchPlanner(BatchLimits(max_tokens=4096, max_rows=256), num_streams=1)


async def test_a_text_too_long_for_the_lane_does_not_block_other_tenants(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    long, short = make_work(300, tenant="docs"), make_work(20, tenant="chat")
    planner.queue.add([long, short])
    assert planner.take_express([FLOOD], now=0) == (short,)
    assert list(planner.queue) == [long]


async def test_a_tenant_with_a_small_part_of_a_batch_may_use_the_lane(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    batch = [make_work(10, tenant="chat"), *(make_work(100, tenant="flood") for _ in range(20))]
    queued = make_work(10, tenant="chat")
    planner.queue.add([make_work(100, tenant="flood"), queued])
    assert planner.take_express([RunningBatch.of(batch)], now=0) == (queued,)


async def test_the_lane_takes_from_several_tenants_up_to_an_eighth_of_the_shortest_batch(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    works = [make_work(60, tenant=f"tenant-{number}") for number in range(10)]
    planner.queue.add(works)
    running = [FLOOD, RunningBatch(1024, frozenset({"other"}))]
    assert planner.take_express(running, now=0) == tuple(works[:2])  # at most 128 tokens


async def test_the_lane_stays_empty_next_to_a_batch_that_ends_soon(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    planner.queue.add([make_work(5, tenant="chat")])
    assert planner.take_express([FLOOD, RunningBatch(511, frozenset())], now=0) == ()
    assert len(planner.queue) == 1


async def test_cancelled_works_are_dropped_with_the_next_batch(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    planner.queue.add([make_work(10, tenant="flood") for _ in range(500)])
    gone = [make_work(10, tenant="chat") for _ in range(1500)]
    for work in gone:
        work.reply.cancel()
    live = make_work(10, tenant="chat")
    planner.queue.add([*gone, live])
    assert live in planner.take([], now=0)
    assert all(work.is_wanted for work in planner.queue)
