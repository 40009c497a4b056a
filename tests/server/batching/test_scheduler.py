import pytest

from server.batching.scheduler import BatchLimits, plan
from tests.server.doubles import MakeWork

pytestmark = pytest.mark.anyio


async def test_takes_works_in_order_until_the_token_budget_is_full(make_work: MakeWork) -> None:
    works = [make_work(4), make_work(4), make_work(4)]
    planned = plan(works, BatchLimits(max_tokens=8, max_rows=10), now=0)
    assert planned.batch == tuple(works[:2])


async def test_takes_no_more_rows_than_allowed(make_work: MakeWork) -> None:
    works = [make_work(1) for _ in range(5)]
    planned = plan(works, BatchLimits(max_tokens=100, max_rows=3), now=0)
    assert planned.batch == tuple(works[:3])


async def test_a_work_longer_than_the_budget_goes_alone(make_work: MakeWork) -> None:
    works = [make_work(50), make_work(1)]
    planned = plan(works, BatchLimits(max_tokens=8, max_rows=10), now=0)
    assert planned.batch == (works[0],)


async def test_no_work_overtakes_one_that_does_not_fit(make_work: MakeWork) -> None:
    works = [make_work(6), make_work(6), make_work(1)]
    planned = plan(works, BatchLimits(max_tokens=8, max_rows=10), now=0)
    assert planned.batch == (works[0],)
    assert planned.num_seen == 1


async def test_works_whose_deadline_has_passed_are_late_and_cost_nothing(
    make_work: MakeWork,
) -> None:
    late, good = make_work(8, deadline=5), make_work(8, deadline=6)
    planned = plan([late, good], BatchLimits(max_tokens=8, max_rows=1), now=5)
    assert planned.late == (late,)
    assert planned.batch == (good,)


async def test_works_whose_caller_was_cancelled_are_dropped(make_work: MakeWork) -> None:
    gone, good = make_work(), make_work()
    gone.reply.cancel()
    planned = plan([gone, good], BatchLimits(max_tokens=8, max_rows=1), now=0)
    assert planned.unwanted == (gone,)
    assert planned.batch == (good,)
    assert planned.num_seen == 2


async def test_an_empty_queue_gives_an_empty_plan() -> None:
    assert plan([], BatchLimits(max_tokens=8, max_rows=1), now=0).num_seen == 0
