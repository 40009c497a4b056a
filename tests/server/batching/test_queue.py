import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.batching.queue import WorkQueue
from server.batching.work import Work
from tests.server.doubles import MakeWork

pytestmark = pytest.mark.anyio


async def test_counts_the_tokens_of_what_waits(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(3), make_work(4), make_work(5)])
    assert (len(queue), queue.num_tokens) == (3, 12)
    first = queue.pop_first(2)
    assert [work.num_tokens for work in first] == [3, 4]
    assert (len(queue), queue.num_tokens) == (1, 5)


async def test_one_tenants_works_keep_their_order(make_work: MakeWork) -> None:
    queue = WorkQueue()
    works = [make_work(length, tenant="acme") for length in (9, 1, 5)]
    queue.add(works)
    assert list(queue) == works


async def test_a_tenant_that_comes_after_a_flood_goes_next(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(10, tenant="flood") for _ in range(50)])
    _run(queue, 20)
    late = make_work(10, tenant="late")
    queue.add([late])
    assert late in list(queue)[:2]


async def test_tenants_that_flood_take_turns_by_tokens_not_by_texts(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(40, tenant="long") for _ in range(50)])
    queue.add([make_work(10, tenant="short") for _ in range(200)])
    assert _tokens(_run(queue, 100)) == {"long": 800, "short": 800}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([(3.0, 1.0), (1.0, 3.0), (2.5, 0.5), (10.0, 1.0)]),
    st.lists(st.integers(1, 200), min_size=20, max_size=60),
    st.lists(st.integers(1, 200), min_size=20, max_size=60),
    st.integers(1, 64),
)
async def test_tenants_that_flood_share_the_tokens_by_their_weights(
    make_work: MakeWork,
    weights: tuple[float, float],
    heavy_lengths: list[int],
    light_lengths: list[int],
    batch: int,
) -> None:
    queue = WorkQueue()
    floods = {
        "heavy": (weights[0], itertools.cycle(heavy_lengths)),
        "light": (weights[1], itertools.cycle(light_lengths)),
    }
    tokens: Counter[str | None] = Counter()
    waiting: Counter[str | None] = Counter()
    while tokens.total() < 60_000:
        for tenant, (weight, lengths) in floods.items():
            more = [
                make_work(next(lengths), tenant=tenant, weight=weight)
                for _ in range(batch + 1 - waiting[tenant])
            ]
            queue.add(more)
            waiting[tenant] += len(more)
        ran = _run(queue, batch)
        waiting.subtract(work.tenant for work in ran)
        tokens.update(_tokens(ran))
    ratio = tokens["heavy"] / tokens["light"]
    assert ratio == pytest.approx(weights[0] / weights[1], rel=0.1)


async def test_a_lone_tenants_weight_does_not_matter(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(10, tenant="light", weight=0.01) for _ in range(20)])
    _run(queue, 10)
    queue.add([make_work(10, tenant="heavy", weight=100.0) for _ in range(20)])
    assert {work.tenant for work in _run(queue, 2)} == {"light", "heavy"}


async def test_a_tenant_does_not_save_up_its_share_while_it_is_idle(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(10, tenant="idle")])
    queue.add([make_work(10, tenant="busy") for _ in range(200)])
    _run(queue, 101)
    queue.add([make_work(10, tenant="idle") for _ in range(50)])
    assert _tokens(_run(queue, 20)) == {"idle": 100, "busy": 100}


async def test_an_idle_queue_gives_no_advantage_to_the_tenant_that_ran_last(
    make_work: MakeWork,
) -> None:
    queue = WorkQueue()
    queue.add([make_work(500, tenant="acme")])
    _run(queue, 1)
    queue.add([make_work(10, tenant="acme") for _ in range(20)])
    queue.add([make_work(10, tenant="shop") for _ in range(20)])
    assert _tokens(_run(queue, 10)) == {"acme": 50, "shop": 50}


async def test_works_that_are_dropped_cost_their_tenant_nothing(make_work: MakeWork) -> None:
    queue = WorkQueue()
    for tenant in ("acme", "shop"):
        queue.add([make_work(10, tenant=tenant) for _ in range(20)])
    queue.pop_first(10, without={"shop"})  # dropped: not charged
    assert _tokens(_run(queue, 10)) == {"acme": 50, "shop": 50}


async def test_works_without_a_caller_do_not_delay_their_tenant(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(10, tenant="flood") for _ in range(50)])
    gone = [make_work(10, tenant="shop") for _ in range(100)]
    for work in gone:
        work.reply.cancel()
    live = make_work(10, tenant="shop")
    queue.add([*gone, live])
    assert live in list(queue)[:102]


async def test_works_of_other_tenants_can_be_taken_first(make_work: MakeWork) -> None:
    queue = WorkQueue()
    queue.add([make_work(5, tenant="flood") for _ in range(3)])
    others = [make_work(5, tenant="shop"), make_work(5)]
    queue.add(others)
    assert set(queue.without({"flood"})) == set(others)
    assert set(queue.pop_first(2, without={"flood"})) == set(others)
    assert {work.tenant for work in queue} == {"flood"}
    assert queue.num_tokens == 15


async def test_counters_of_idle_tenants_do_not_pile_up(make_work: MakeWork) -> None:
    queue = WorkQueue()
    for number in range(100):
        queue.add([make_work(5, tenant=f"tenant-{number}")])
        _run(queue, 1)
    assert len(queue._counters) <= 2


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, "acme", "shop"]), st.integers(1, 30), st.integers(0, 3)),
        max_size=60,
    )
)
async def test_takes_in_the_order_that_it_showed_and_loses_nothing(
    make_work: MakeWork, steps: list[tuple[str | None, int, int]]
) -> None:
    queue = WorkQueue()
    added: list[Work] = []
    taken: list[Work] = []
    for tenant, length, num_taken in steps:
        added.append(make_work(length, tenant=tenant))
        queue.add(added[-1:])
        shown = list(queue)[:num_taken]
        assert _run(queue, len(shown)) == shown
        taken += shown
    assert Counter(taken + list(queue)) == Counter(added)
    assert queue.num_tokens == sum(work.num_tokens for work in queue)


def _run(queue: WorkQueue, count: int) -> list[Work]:
    works = queue.pop_first(count)
    queue.charge(works)
    return works


def _tokens(works: Sequence[Work]) -> dict[str | None, int]:
    tokens: Counter[str | None] = Counter()
    for work in works:
        tokens[work.tenant] += work.num_tokens
    return dict(tokens)
