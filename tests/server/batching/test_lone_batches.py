"""The threads of a lone batch: by the speedup of a short text, which the tests make up."""

from collections.abc import Iterator

import pytest
import torch

from prefixes.backbone import Streams
from server.batching.lone_batches import smallest_for_all_threads

pytestmark = pytest.mark.anyio


@pytest.fixture
def streams() -> Iterator[Streams]:
    with Streams(2, num_threads=2) as streams:
        yield streams


@pytest.mark.parametrize(("speedup", "smallest"), [(1.25, 0), (1.15, 128), (0.5, 128)])
async def test_all_threads_run_a_short_text_only_if_it_gains_clearly(
    streams: Streams, speedup: float, smallest: int
) -> None:
    def seconds_of(_num_tokens: int) -> float:
        return 0.01 / speedup if torch.get_num_threads() == 2 else 0.01

    assert await smallest_for_all_threads(streams, seconds_of) == smallest


async def test_one_slow_round_does_not_decide(streams: Streams) -> None:
    slow = iter([9.0] + [0.0] * 100)

    def seconds_of(_num_tokens: int) -> float:
        return next(slow) + (0.01 if torch.get_num_threads() == 2 else 0.02)

    assert await smallest_for_all_threads(streams, seconds_of) == 0


async def test_one_stream_has_all_threads_anyway() -> None:
    with Streams(1, num_threads=2) as streams:
        assert await smallest_for_all_threads(streams, lambda _: pytest.fail("no trial")) == 0
