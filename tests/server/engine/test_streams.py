import asyncio
import threading
from collections.abc import Iterator

import pytest
import torch

from server.engine.streams import Streams

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give torch five threads in these tests, and what it had afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "streams", "each"), [(None, 4, 1), (2, 2, 2), (1, 1, 5), (99, 5, 1)]
)
async def test_streams_share_the_threads_of_a_cpu(
    asked: int | None, streams: int, each: int
) -> None:
    made = Streams.on(torch.device("cpu"), asked)
    assert (made.num, made.num_threads_of_each) == (streams, each)
    assert await made.run(torch.get_num_threads) == each
    made.close()


async def test_a_call_that_is_alone_gets_all_threads_and_the_next_its_share_again() -> None:
    streams = Streams.on(torch.device("cpu"), 2)
    assert await streams.run(torch.get_num_threads, is_alone=True) == 5
    assert await streams.run(torch.get_num_threads) == 2
    streams.close()


async def test_streams_run_at_the_same_time() -> None:
    streams = Streams.on(torch.device("cpu"), 3)
    barrier = threading.Barrier(3)  # nobody passes unless all three are there
    await asyncio.gather(*(streams.run(lambda: barrier.wait(30)) for _ in range(3)))
    streams.close()


async def test_a_gpu_has_one_stream_whatever_is_asked() -> None:
    streams = Streams.on(torch.device("cuda"), 4)
    assert streams.num == 1
    assert await streams.run(lambda: 7, is_alone=True) == 7
    streams.close()
