"""Replica: a server with a queue, batches without a wait timer, and prefixes in its memory.

An event loop reads requests and writes responses, and one stream runs batches. Both have the rules
of `server/batching` and `server/residency`, for one tenant.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bench.simulation.events import Events
from bench.simulation.memory import DeviceMemory, HostMemory
from bench.simulation.service_times import ServiceTimes

_NUM_LOADERS: Final = 2
"""Number of prefixes that a server loads at the same time (server/residency/loader.py)."""


class Level(IntEnum):
    """Where a request found its prefix. One that is JOINED waits for the load of another."""

    DEVICE = 0
    HOST = 1
    STORE = 2
    JOINED = 3


@dataclass(slots=True, eq=False)
class Request:
    """A request for one text."""

    number: int
    task: int
    tokens: int
    level: Level = Level.DEVICE
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """The limits of a server's batches, and its memory for prefixes in bytes."""

    device_bytes: int
    host_bytes: int = 0
    max_tokens: int = 4096
    max_rows: int = 256


Answered = Callable[["Replica", Request, float], None]
"""Gets a request when its batch ends, and the time at which its response is sent."""


class Replica:
    """One server. Its methods get the time, which never decreases."""

    def __init__(
        self,
        number: int,
        times: ServiceTimes,
        limits: ReplicaLimits,
        events: Events,
        *,
        answered: Answered,
        spread: Iterator[float],
    ) -> None:
        """Set up a replica with empty memory.

        Args:
            number: identifies it.
            times: what a batch, a request and a load take.
            limits: limits of batches and memory.
            events: gets its events.
            answered: called for each response.
            spread: factors of the times of batches.
        """
        self.number = number
        self.device = DeviceMemory(limits.device_bytes)
        self.host = HostMemory(limits.host_bytes)
        self.busy_seconds = 0.0
        self.num_batches = 0
        self._times = times
        self._limits = limits
        self._events = events
        self._answered = answered
        self._spread = spread
        self._is_alive = True
        self._received: set[Request] = set()
        self._queue: deque[Request] = deque()
        self._batch: list[Request] = []
        self._batch_end = 0.0
        self._loop_free = 0.0
        self._loads: dict[int, list[Request]] = {}
        self._queued_loads: deque[int] = deque()
        self._num_loading = 0
        self._loaded: deque[int] = deque()  # wait for device memory

    @property
    def num_in_flight(self) -> int:
        return len(self._received)

    def receive(self, now: float, request: Request) -> None:
        """Accept a request."""
        self._received.add(request)
        if self._is_alive:
            ready = self._use_loop(now, self._times.loop.request)
            self._events.at(ready, self._find_prefix, request)

    def crash(self) -> None:
        """Stop without answering. Requests that arrive later are lost, too."""
        self._is_alive = False

    def take_lost(self) -> list[Request]:
        """Return the requests that a crashed replica never answers, in order."""
        lost = sorted(self._received, key=lambda request: request.number)
        self._received.clear()
        return lost

    def _use_loop(self, now: float, seconds: float) -> float:
        """Let the event loop work; return when it is done."""
        self._loop_free = max(now, self._loop_free) + seconds
        self._interrupt(seconds)
        return self._loop_free

    def _interrupt(self, seconds: float) -> None:
        if self._batch and self._times.loop.shares_core:
            self._batch_end += seconds

    def _find_prefix(self, now: float, request: Request) -> None:
        if not self._is_alive:
            return
        if self.device.lease(request.task):
            self._queue.append(request)
            self._start_batch(now)
        elif request.task in self._loads:
            request.level = Level.JOINED
            self._loads[request.task].append(request)
        else:
            self._loads[request.task] = [request]
            self._queued_loads.append(request.task)
            self._start_loads(now)

    def _start_loads(self, now: float) -> None:
        while self._queued_loads and self._num_loading < _NUM_LOADERS:
            self._num_loading += 1
            task = self._queued_loads.popleft()
            self._events.at(now + self._load_seconds(task), self._load_done, task)

    def _load_seconds(self, task: int) -> float:
        load = self._times.load
        is_cached = self.host.use(task)
        self._loads[task][0].level = Level.HOST if is_cached else Level.STORE
        if is_cached:
            self._interrupt(load.device_cpu)
            return load.device
        self.host.add(task, self._times.prefix_bytes)
        self._interrupt(load.store_cpu + load.device_cpu)
        return load.store + load.device

    def _load_done(self, now: float, task: int) -> None:
        if not self._is_alive:
            return
        self._num_loading -= 1
        self._loaded.append(task)
        self._place_loaded()
        self._start_loads(now)
        self._start_batch(now)

    def _place_loaded(self) -> None:
        """Place loaded prefixes as far as memory can be freed, and queue what waits for them."""
        while self._loaded and self.device.add(self._loaded[0], self._times.prefix_bytes):
            task = self._loaded.popleft()
            waiting = self._loads.pop(task)
            self.device.lease(task, len(waiting))
            self._queue.extend(waiting)

    def _start_batch(self, now: float) -> None:
        if self._batch or not self._queue:
            return
        tokens = self._take_batch()
        started = max(now, self._loop_free) if self._times.loop.shares_core else now
        seconds = self._times.batch.seconds(len(self._batch), tokens) * next(self._spread)
        self._batch_end = started + seconds
        self.busy_seconds += seconds
        self.num_batches += 1
        self._events.at(self._batch_end, self._end_batch)

    def _take_batch(self) -> int:
        """Take the next batch from the queue as `server/batching/scheduler.py` does."""
        queue, limits = self._queue, self._limits
        tokens = queue[0].tokens
        self._batch.append(queue.popleft())
        while (
            queue
            and len(self._batch) < limits.max_rows
            and tokens + queue[0].tokens <= limits.max_tokens
        ):
            tokens += queue[0].tokens
            self._batch.append(queue.popleft())
        return tokens

    def _end_batch(self, now: float, _: None) -> None:
        if not self._is_alive:
            return
        if now < self._batch_end:  # it was interrupted meanwhile
            self._events.at(self._batch_end, self._end_batch)
            return
        batch, self._batch = self._batch, []
        for request in batch:
            self.device.release(request.task)
            self._received.remove(request)
            self._answered(self, request, self._use_loop(now, self._times.loop.response))
        self._place_loaded()
        self._start_batch(now)
