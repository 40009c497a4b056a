"""Runs the parts of a request concurrently: the request succeeds or fails as a whole."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def gather(runs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines concurrently; at the first failure cancel the others and raise it."""
    if len(runs) == 1:
        return [await runs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run) for run in runs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
