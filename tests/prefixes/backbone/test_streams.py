import threading
from collections.abc import Iterator

import pytest
import torch

from prefixes.backbone import Streams

CPU = torch.device("cpu")


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
def test_streams_share_the_threads_of_a_cpu(asked: int | None, streams: int, each: int) -> None:
    with Streams.on(CPU, asked) as made:
        assert (made.num, made.num_threads_of_each) == (streams, each)
        assert made.submit(torch.get_num_threads).result() == each


def test_a_call_that_is_alone_gets_all_threads_and_the_next_its_share_again() -> None:
    with Streams.on(CPU, 2) as streams:
        assert streams.submit(torch.get_num_threads, is_alone=True).result() == 5
        assert streams.submit(torch.get_num_threads).result() == 2


def test_streams_run_at_the_same_time() -> None:
    barrier = threading.Barrier(3)  # nobody passes unless all three are there
    with Streams.on(CPU, 3) as streams:
        list(streams.map(lambda _: barrier.wait(30), range(3)))


def test_what_comes_of_items_is_given_in_their_order() -> None:
    is_later = threading.Event()

    def square(number: int) -> int:
        if number == 0:
            assert is_later.wait(30)  # the first ends after another
        else:
            is_later.set()
        return number**2

    with Streams.on(CPU, 2) as streams:
        assert list(streams.map(square, range(6))) == [0, 1, 4, 9, 16, 25]


def test_an_item_that_is_alone_runs_where_it_was_called_with_all_threads() -> None:
    with Streams.on(CPU, 2) as streams:
        (found,) = streams.map(lambda _: (threading.get_ident(), torch.get_num_threads()), [0])
    assert found == (threading.get_ident(), 5)


def test_what_fails_says_so() -> None:
    with Streams.on(CPU, 2) as streams, pytest.raises(ZeroDivisionError):
        list(streams.map(lambda number: 1 // number, [1, 0, 2]))


def test_a_gpu_has_one_stream_even_if_more_are_requested() -> None:
    with Streams.on(torch.device("cuda"), 4) as streams:
        assert streams.num == 1
        assert streams.submit(lambda: 7, is_alone=True).result() == 7
