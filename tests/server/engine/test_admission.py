from contextlib import AsyncExitStack

import pytest

from server.engine.admission import AdmissionControl
from server.errors import Overloaded, TooManyInputs

pytestmark = pytest.mark.anyio


def admission() -> AdmissionControl:
    return AdmissionControl(max_waiting=10, estimate_wait=lambda: 3)


async def test_a_request_counts_for_all_of_its_texts_until_it_is_answered() -> None:
    room = admission()
    async with room.admit(2, 60, max_texts=8) as request:
        request.grow(5)
        assert room.num_waiting == 7
        with pytest.raises(Overloaded, match="7 texts are in flight, and 4 more") as refused:
            async with room.admit(4, 60, max_texts=8):
                pass
        assert refused.value.retry_after_seconds == 3
    assert room.num_waiting == 0
    await room.until_empty()


async def test_a_request_with_too_many_texts_is_rejected_for_good() -> None:
    room = admission()
    with pytest.raises(TooManyInputs, match=r"become 9 texts.*at most 8"):
        async with room.admit(3, 60, max_texts=8) as request:
            request.grow(6)
    assert room.num_waiting == 0


async def test_a_request_that_grows_beyond_the_limit_is_told_to_retry() -> None:
    room = admission()
    first = room.admit(6, 60, tenant="acme", max_texts=8)
    async with first, room.admit(1, 60, tenant="shop", max_texts=8) as second:
        second.grow(3)
        with pytest.raises(Overloaded):
            second.grow(1)
        assert room.num_waiting == 10
    assert room.num_waiting == 0


async def test_a_request_admitted_without_a_limit_is_counted_but_never_rejected() -> None:
    room = admission()
    async with room.admit(1, 60) as replay:
        replay.grow(30)
        assert room.num_waiting == 31
    assert room.num_waiting == 0


async def test_a_request_alone_may_use_every_place() -> None:
    room = admission()
    async with room.admit(8, 60, tenant="acme") as request:
        request.grow(2)
        assert room.num_waiting == 10


async def test_one_tenant_fills_three_quarters_and_leaves_places_for_the_next() -> None:
    room = AdmissionControl(max_waiting=100, estimate_wait=lambda: 3)
    async with AsyncExitStack() as admitted:
        num_admitted = await _fill(room, admitted, "acme")
        assert num_admitted == 75
        assert await _fill(room, admitted, "shop") == 18  # of 25 free places
        await admitted.enter_async_context(room.admit(1, 60, tenant="third"))


async def test_the_share_of_a_tenant_is_free_again_when_its_requests_end() -> None:
    room = AdmissionControl(max_waiting=4, estimate_wait=lambda: 3)
    async with room.admit(3, 60, tenant="acme"):
        with pytest.raises(Overloaded, match=r"3 texts of this tenant.*leave 0 free places"):
            async with room.admit(1, 60, tenant="acme"):
                pass
        async with room.admit(1, 60, tenant="shop"):
            pass
    async with room.admit(1, 60, tenant="acme"), room.admit(1, 60, tenant="acme"):
        assert room.num_waiting == 2


async def _fill(room: AdmissionControl, admitted: AsyncExitStack, tenant: str) -> int:
    """Admit requests of one text until one is rejected, and return their number."""
    for count in range(1000):
        try:
            await admitted.enter_async_context(room.admit(1, 60, tenant=tenant))
        except Overloaded:
            return count
    raise AssertionError("no request was rejected")
