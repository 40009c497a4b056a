import pytest

from server.engine.admission import AdmissionControl
from server.errors import Overloaded, TooManyInputs

pytestmark = pytest.mark.anyio


def admission() -> AdmissionControl:
    return AdmissionControl(max_waiting=10, estimate_wait=lambda: 3)


async def test_a_request_counts_for_what_it_grew_to_until_it_is_answered() -> None:
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


async def test_a_request_of_more_texts_than_one_may_have_is_told_so_and_not_to_come_back() -> None:
    room = admission()
    with pytest.raises(TooManyInputs, match=r"become 9 texts.*at most 8"):
        async with room.admit(3, 60, max_texts=8) as request:
            request.grow(6)
    assert room.num_waiting == 0


async def test_a_request_that_grows_beyond_the_room_left_is_told_to_come_back() -> None:
    room = admission()
    async with room.admit(6, 60, max_texts=8), room.admit(1, 60, max_texts=8) as second:
        second.grow(3)
        with pytest.raises(Overloaded):
            second.grow(1)
        assert room.num_waiting == 10
    assert room.num_waiting == 0


async def test_what_is_let_in_without_a_bound_grows_as_it_must() -> None:
    room = admission()
    async with room.admit(1, 60) as replay:
        replay.grow(30)
        assert room.num_waiting == 31
    assert room.num_waiting == 0
