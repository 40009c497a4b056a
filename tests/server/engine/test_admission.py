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
    async with room.admit(6, 60, max_texts=8), room.admit(1, 60, max_texts=8) as second:
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
