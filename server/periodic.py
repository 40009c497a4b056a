"""Work that repeats while a server runs, such as writing batches to the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[None]], *, seconds: float) -> AsyncIterator[None]:
    """Do something each time that many seconds have passed, and once more when the context ends.

    Turns never overlap. An error of `work` ends them, and is raised at the end of the context.
    """
    stopping = asyncio.Event()
    task = asyncio.create_task(_repeat(work, seconds, stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


async def _repeat(
    work: Callable[[], Awaitable[None]], seconds: float, stopping: asyncio.Event
) -> None:
    is_last = False
    while not is_last:
        is_last = await _is_set_within(stopping, seconds)
        await work()


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
