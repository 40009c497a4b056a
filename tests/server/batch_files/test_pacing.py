import asyncio
from collections.abc import Awaitable, Callable

from server.batch_files.pacing import Pacer


class Device:
    """A clock that a test moves, and whether there are requests."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_quiet = True

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pacer(self, max_rows: int = 10_000) -> Pacer:
        return Pacer(
            lambda _: self.is_quiet, max_rows=max_rows, sleep=self.sleep, clock=lambda: self.now
        )

    async def run(self, pacer: Pacer, rows_per_second: float, fixed_seconds: float = 0.0) -> int:
        turn = await pacer.turn()
        seconds = fixed_seconds + turn.max_rows / rows_per_second
        self.now += seconds
        pacer.ran(turn, turn.max_rows, seconds)
        return turn.max_rows


def in_time(device: Device, seconds: float, run: Callable[[], Awaitable[int]]) -> int:
    async def keep_running() -> int:
        num_rows, end = 0, device.now + seconds
        while device.now < end:
            num_rows += await run()
        return num_rows

    return asyncio.run(keep_running())


def test_without_requests_chunks_follow_each_other_and_take_about_a_tenth_of_a_second() -> None:
    device = Device()
    pacer = device.pacer()
    num_rows = in_time(device, 20.0, lambda: device.run(pacer, 1000))
    assert num_rows >= 20 * 1000
    assert 80 <= asyncio.run(device.run(pacer, 1000)) <= 100
    assert pacer.max_chunks > 1


def test_next_to_requests_chunks_are_short_and_use_a_tenth_of_the_time() -> None:
    device = Device()
    pacer = device.pacer()
    in_time(device, 20.0, lambda: device.run(pacer, 1000))
    device.is_quiet = False
    assert pacer.max_chunks == 1
    in_time(device, 2.0, lambda: device.run(pacer, 1000))
    assert asyncio.run(device.run(pacer, 1000)) <= 15
    num_rows = in_time(device, 20.0, lambda: device.run(pacer, 1000))
    assert 0.05 * 20 * 1000 <= num_rows <= 0.12 * 20 * 1000


def test_a_batch_that_takes_time_without_rows_does_not_make_chunks_of_one_row() -> None:
    device = Device()
    device.is_quiet = False
    pacer = device.pacer()
    in_time(device, 20.0, lambda: device.run(pacer, 2000, 0.01))
    assert 8 <= asyncio.run(device.run(pacer, 2000, 0.01)) <= 12


def test_a_slow_device_still_gets_a_row_each_second() -> None:
    device = Device()
    device.is_quiet = False
    pacer = device.pacer()
    assert in_time(device, 30.0, lambda: device.run(pacer, 2)) >= 15


def test_a_chunk_never_has_more_rows_than_a_request_may_have() -> None:
    device = Device()
    pacer = device.pacer(max_rows=64)
    in_time(device, 20.0, lambda: device.run(pacer, 1e6))
    assert asyncio.run(device.run(pacer, 1e6)) == 64
