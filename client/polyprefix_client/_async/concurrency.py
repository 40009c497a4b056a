"""Waiting, and running calls concurrently. `_sync/concurrency.py` does the same with threads."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

sleep = asyncio.sleep


async def run_in_order(
    function: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, limit: int
) -> AsyncIterator[Result]:
    """Call a function on items, with at most `limit` calls at a time; yield results in order.

    An item is taken only when a call can begin, so an iterable of any length fits in memory.
    """
    pending: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            pending.append(asyncio.ensure_future(function(item)))
            if len(pending) >= limit:
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
