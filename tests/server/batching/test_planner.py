"""The batches of the express lane. `test_dispatcher.py` runs them."""

import pytest

from server.batching.planner import BatchPlanner, RunningBatch, num_tokens_of
from server.batching.scheduler import BatchLimits
from server.batching.work import BACKGROUND
from tests.server.doubles import MakeWork

pytestmark = pytest.mark.anyio

FLOOD = RunningBatch(2048, frozenset({"flood"}))


@pytest.fixture
def planner() -> BatchPlanner:
    limits = BatchLimits(max_tokens=4096, max_rows=256)
    return BatchPlanner(limits, num_streams=1, has_express_lane=True)


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


async def test_next_to_a_batch_file_the_lane_takes_whole_requests(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    requests = [make_work(300, tenant="docs"), make_work(20, tenant="chat")]
    planner.queue.add([*requests, make_work(20, tenant=BACKGROUND)])
    running = [RunningBatch.of([make_work(10, tenant=BACKGROUND)])]
    assert planner.take_express(running, now=0) == tuple(requests)


async def test_batch_files_do_not_use_the_lane(planner: BatchPlanner, make_work: MakeWork) -> None:
    planner.queue.add([make_work(20, tenant=BACKGROUND)])
    assert planner.take_express([FLOOD], now=0) == ()


async def test_a_short_chunk_of_a_batch_file_occupies_one_stream_while_others_are_active(
    make_work: MakeWork,
) -> None:
    planner = BatchPlanner(BatchLimits(max_tokens=4096, max_rows=256), num_streams=2)
    planner.queue.add([make_work(20, tenant="chat")])
    assert planner.take([], now=0)
    for now, num_works in ((1, 4), (60, 2)):
        chunk = [make_work(20, tenant=BACKGROUND) for _ in range(4)]
        planner.queue.add(chunk)
        assert len(planner.take([], now=now)) == num_works


async def test_a_short_text_does_not_join_a_long_batch_of_another_tenant(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    flood = [make_work(100, tenant="flood") for _ in range(8)]
    short = make_work(100, tenant="chat")
    planner.queue.add([short, *flood])
    batch = planner.take([], now=0)
    assert batch == tuple(flood)
    assert planner.take_express([RunningBatch.of(batch)], now=0) == (short,)


@pytest.mark.parametrize(
    ("num_flood", "num_small"),
    [
        (6, 1),  # more than an eighth of the batch
        (20, 3),  # each fits, but not all together
    ],
)
async def test_works_that_do_not_fit_on_the_lane_join_the_batch(
    planner: BatchPlanner, make_work: MakeWork, num_flood: int, num_small: int
) -> None:
    works = [make_work(100, tenant=f"small-{number}") for number in range(num_small)]
    works += [make_work(100, tenant="flood") for _ in range(num_flood)]
    planner.queue.add(works)
    assert set(works[:num_small]) <= set(planner.take([], now=0))


async def test_a_short_batch_takes_the_works_of_all_tenants(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    planner.queue.add([make_work(10, tenant="chat"), make_work(500, tenant="flood")])
    assert len(planner.take([], now=0)) == 2


async def test_a_long_batch_takes_all_tenants_where_there_is_no_lane(make_work: MakeWork) -> None:
    planner = BatchPlanner(BatchLimits(max_tokens=4096, max_rows=256), num_streams=1)
    planner.queue.add([make_work(10, tenant="chat"), make_work(800, tenant="flood")])
    assert len(planner.take([], now=0)) == 2


async def test_cancelled_works_are_dropped_with_the_next_batch_of_their_tenant(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    planner.queue.add([make_work(10, tenant="flood") for _ in range(500)])
    gone = [make_work(10, tenant="chat") for _ in range(1500)]
    for work in gone:
        work.reply.cancel()
    live = make_work(10, tenant="chat")
    planner.queue.add([*gone, live])
    flood = RunningBatch.of(planner.take([], now=0))
    assert planner.take_express([flood], now=0) == (live,)
    assert all(work.is_wanted for work in planner.queue)


async def test_a_tenant_with_further_works_gets_its_share_of_the_batches(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    works = [make_work(100, tenant="large", weight=10.0) for _ in range(50)]
    works += [make_work(100, tenant="small", weight=1.0) for _ in range(50)]
    planner.queue.add(works)
    tenants = [work.tenant for _ in range(4) for work in planner.take([], now=0)]
    assert 3 <= tenants.count("small") <= 5  # an eleventh of 40


async def test_a_flood_does_not_get_the_lane_in_addition_to_its_share(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    planner.queue.add([make_work(100, tenant="flood") for _ in range(100)])
    planner.queue.add([make_work(100, tenant="other flood") for _ in range(200)])
    taken = 0
    while batch := planner.take_express([FLOOD], now=0):
        taken += num_tokens_of(batch)
    # As much as the running batch, and the last batch of the lane.
    assert FLOOD.num_tokens < taken <= FLOOD.num_tokens * 9 / 8
    (chat,) = works = [make_work(100, tenant="chat")]
    planner.queue.add(works)
    assert planner.take_express([FLOOD], now=0) == (chat,)


async def test_batches_are_shorter_while_several_tenants_are_active(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    def tokens_of_batch(now: float) -> int:
        planner.queue.add([make_work(128, tenant="flood") for _ in range(32)])
        return num_tokens_of(planner.take([], now))

    assert tokens_of_batch(now=0) == 4096
    planner.queue.add([make_work(20, tenant="chat")])
    assert planner.take_express([FLOOD], now=1)
    assert tokens_of_batch(now=2) == 1024
    assert tokens_of_batch(now=10.5) == 1024
    assert tokens_of_batch(now=11.5) == 4096


async def test_a_device_without_an_express_lane_keeps_its_batches(make_work: MakeWork) -> None:
    planner = BatchPlanner(BatchLimits(max_tokens=4096, max_rows=256), num_streams=1)
    for tenant in ("flood", "chat"):
        planner.queue.add([make_work(128, tenant=tenant) for _ in range(16)])
    assert num_tokens_of(planner.take([], now=0)) == 4096


async def test_of_many_active_tenants_no_more_than_two_are_remembered(
    planner: BatchPlanner, make_work: MakeWork
) -> None:
    for number in range(100):
        planner.queue.add([make_work(20, tenant=f"tenant-{number}")])
        assert planner.take([], now=number / 100)
    assert len(planner._latest) == 2
    planner.queue.add([make_work(128, tenant="flood") for _ in range(32)])
    assert num_tokens_of(planner.take([], now=10)) == 1024
