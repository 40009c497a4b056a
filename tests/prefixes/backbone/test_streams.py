import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from prefixes.backbone import Streams

CPU = torch.device("cpu")

has_threads_with_nice_values = pytest.mark.skipif(
    sys.platform != "linux", reason="nice values of threads are Linux's"
)


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


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@has_threads_with_nice_values
def test_a_long_call_has_a_lower_priority_than_all_others() -> None:
    with Streams.on(CPU, 2) as streams:
        assert streams.submit(_niceness, gives_way=True).result() > _niceness()
        assert streams.submit(_niceness).result() == _niceness()
        assert streams.submit_express(_niceness).result() == _niceness()


@has_threads_with_nice_values
def test_the_cpu_threads_of_a_long_call_have_its_priority() -> None:
    def priorities_of_new_threads() -> set[int]:
        before = set(Path("/proc/self/task").iterdir())
        torch.ones(2**20).exp()  # large enough for several threads
        new = set(Path("/proc/self/task").iterdir()) - before
        return {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in new}

    with Streams.on(CPU, 1) as streams:
        own = streams.submit(_niceness, gives_way=True).result()
        assert streams.submit(priorities_of_new_threads, gives_way=True).result() == {own}


@has_threads_with_nice_values
def test_a_thread_that_feeds_a_gpu_keeps_its_priority() -> None:
    with Streams.on(torch.device("cuda")) as streams:
        assert streams.submit(_niceness, gives_way=True).result() == _niceness()


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
