"""Waiting, and running calls concurrently. `_async/concurrency.py` does the same with tasks."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

sleep = time.sleep


def run_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, limit: int
) -> Iterator[Result]:
    """Call a function on items, with at most `limit` calls at a time; yield results in order.

    An item is taken only when a call can begin, so an iterable of any length fits in memory.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(limit, thread_name_prefix="polyprefix") as threads:
        try:
            for item in items:
                pending.append(threads.submit(function, item))
                if len(pending) >= limit:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
