"""A clock that does not wait, and workers that are functions, for tests of training jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.training_jobs.clock import Clock
from server.training_jobs.folders import TrainingFolder

SPEED: Final = 100.0
"""Seconds that pass for each second that is slept."""

Script = Callable[[Path], Awaitable[int]]
"""Does the work of a worker in the folder of its job, and returns its exit code."""


@dataclass
class FakeTime:
    """Time that passes only where somebody sleeps."""

    now: float = 0.0
    speed: float = SPEED
    on_sleep: Callable[[float], object] = float

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.on_sleep(seconds)
        self.now += self.speed * seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(self.monotonic, self.sleep)


@dataclass
class FakeWorker:
    """A worker that is a task."""

    task: asyncio.Future[int]
    time: FakeTime

    async def wait(self, seconds: float) -> int | None:
        await self.time.sleep(seconds)
        return self.task.result() if self.task.done() else None

    async def stop(self, *, within: float) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@dataclass
class FakeWorkers:
    """Starts workers, each with the next script; the last script is repeated."""

    time: FakeTime
    scripts: list[Script] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next starts, instead of starting a worker."""
    num_started: int = 0
    niceness: int | None = None
    """That of the last worker."""

    async def __call__(
        self, folder: TrainingFolder, *, num_threads: int, niceness: int
    ) -> FakeWorker:
        if self.failures:
            raise self.failures.pop()
        script = self.scripts[min(self.num_started, len(self.scripts) - 1)]
        self.num_started += 1
        self.niceness = niceness
        return FakeWorker(asyncio.ensure_future(script(folder.path)), self.time)
