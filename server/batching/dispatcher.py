"""Dispatcher: keeps the device busy with batches of the queued works, and settles their replies."""

import asyncio
import logging
import time
from asyncio import wrap_future
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from prefixes.backbone import MixedBatch, Streams
from server.batching.batch_metrics import BatchMetrics
from server.batching.latency import SecondsOf
from server.batching.lone_batches import smallest_for_all_threads
from server.batching.planner import BatchPlanner, RunningBatch, num_tokens_of, settle_all
from server.batching.runner import BatchResult, Runner
from server.batching.scheduler import BatchLimits
from server.batching.timings import BatchSize, Timings
from server.batching.work import Work
from server.errors import EngineUnavailable

_STOPPING: Final = "the server is shutting down"
_FAILED: Final = "the dispatcher failed"

_Submit = Callable[[Callable[[], Any]], Future[Any]]
"""Runs a call on a stream or on the express lane."""

_log = logging.getLogger(__name__)


class Dispatcher:
    """Packs and runs batches: one on each stream, at most one on the express lane.

    At most one more is packed ahead.
    """

    def __init__(
        self, runner: Runner, limits: BatchLimits, metrics: BatchMetrics, streams: Streams
    ) -> None:
        self._runner = runner
        self._streams = streams
        self._metrics = metrics
        self._planner = BatchPlanner(limits, streams.num, has_express_lane=streams.has_express_lane)
        self._queue = self._planner.queue
        self._wake = asyncio.Event()
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="packer")
        self._running: dict[asyncio.Task[None], RunningBatch] = {}  # without the express lane's
        self._express: asyncio.Task[None] | None = None
        self._min_lone_tokens = 0
        self._loop_task: asyncio.Task[None] | None = None
        self.tokens_per_second = 0.0
        self.failure: str | None = None

    @property
    def num_waiting_tokens(self) -> int:
        return self._queue.num_tokens

    @property
    def limits(self) -> BatchLimits:
        return self._planner.limits

    async def start(
        self,
        seconds_of: SecondsOf | None = None,
        find_limits: Callable[[], BatchLimits] | None = None,
    ) -> None:
        """Warm up the device, run trials on it, then serve.

        Args:
            seconds_of: runs a batch of so many tokens. None: a lone batch uses all threads.
            find_limits: finds limits for a target latency. None: there is no target.
        """
        await wrap_future(self._streams.submit(self._runner.probe))
        if seconds_of is not None:
            self._min_lone_tokens = await smallest_for_all_threads(self._streams, seconds_of)
        if find_limits is not None:
            self._planner.limits = await wrap_future(self._streams.submit(find_limits))
        self._loop_task = asyncio.create_task(self._serve())
        self._loop_task.add_done_callback(self._loop_ended)

    async def stop(self) -> None:
        """Finish the running batches, fail the queued works, and stop the threads."""
        if self._loop_task is not None:
            self._loop_task.cancel()
        self.failure = self.failure or _STOPPING  # rejects new works, so that no batch starts
        self._fail_queued(self.failure)
        while running := [*self._running, *([self._express] if self._express else [])]:
            await asyncio.wait(running)
        self._streams.close()
        self._packer.shutdown()

    def submit(self, works: Sequence[Work]) -> None:
        """Queue works. Each is settled through its own reply."""
        self._queue.add(works)
        self._wake.set()
        if self.failure is not None:
            self._fail_queued(self.failure)
        self._start_express()

    async def _serve(self) -> None:
        while True:
            await self._until_a_batch_is_due()
            batch = self._planner.take(self._running.values(), self._now())
            if not batch:
                continue
            try:
                packed = await self._pack(batch) if self._is_busy else None
                while self._is_busy:  # `wait` does not cancel the runs when this task is cancelled
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            except BaseException as error:
                is_stopped = isinstance(error, asyncio.CancelledError)
                reason = _STOPPING if is_stopped else _FAILED
                settle_all(batch, _not_answered(reason))
                raise
            running = RunningBatch.of(batch)
            is_alone = self._uses_all_threads(running)
            submit = partial(self._streams.submit, is_alone=is_alone, gives_way=running.gives_way)
            run = asyncio.create_task(self._run(batch, packed, submit))
            self._running[run] = running
            run.add_done_callback(self._ended)
            self._start_express()

    def _uses_all_threads(self, batch: RunningBatch) -> bool:
        is_alone = not self._running and not self._queue and self._express is None
        may = is_alone and not batch.is_background  # it would delay the request that comes next
        return may and batch.num_tokens >= self._min_lone_tokens

    async def _until_a_batch_is_due(self) -> None:
        """Wait until a stream is free, or the queue has a full batch to pack ahead.

        While all streams are busy, waiting for a full batch costs nothing. With an express lane, no
        batch is packed ahead, because its works could not use the lane.
        """
        while not self._queue or (self._is_busy and not self._may_pack_ahead):
            self._wake.clear()
            await self._wake.wait()

    @property
    def _is_busy(self) -> bool:
        return len(self._running) == self._streams.num

    @property
    def _may_pack_ahead(self) -> bool:
        return self._planner.has_full_batch and not self._streams.has_express_lane

    def _start_express(self) -> None:
        """Run a batch on the express lane if there is one to run."""
        has_lane = self._streams.has_express_lane and self._express is None
        if not (has_lane and self._is_busy and self._queue):
            return
        if batch := self._planner.take_express(self._running.values(), self._now()):
            run = self._run(batch, None, self._streams.submit_express, is_express=True)
            self._express = asyncio.create_task(run)
            self._express.add_done_callback(self._express_ended)

    def _express_ended(self, _run: asyncio.Task[None]) -> None:
        self._express = None
        self._wake.set()
        self._start_express()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _pack(self, batch: Sequence[Work]) -> MixedBatch | None:
        jobs = [(work.text, work.lease.resident) for work in batch]
        return await asyncio.get_running_loop().run_in_executor(
            self._packer, self._runner.pack, jobs
        )

    async def _run(
        self,
        batch: Sequence[Work],
        packed: MixedBatch | None,
        submit: _Submit,
        *,
        is_express: bool = False,
    ) -> None:
        try:
            result = await self._run_and_settle(batch, packed, submit)
            if not is_express:  # a batch that shares the processors says little about their speed
                self._note_speed(num_tokens_of(batch), result.device_seconds)
        except Exception as error:  # noqa: BLE001 - whatever fails, the callers must be answered
            self._fail("a batch could not be run", error)
            settle_all(batch, _not_answered(str(self.failure)))

    def _ended(self, run: asyncio.Task[None]) -> None:
        del self._running[run]
        self._wake.set()

    async def _run_and_settle(
        self, batch: Sequence[Work], packed: MixedBatch | None, submit: _Submit
    ) -> BatchResult:
        started = time.perf_counter()
        jobs = [(work.text, work.lease.resident) for work in batch]
        run = partial(self._runner.run, jobs, packed)
        result: BatchResult = await wrap_future(submit(run))
        size = _size_of(batch)
        self._report(batch, size, result, started)
        seconds_of_token = result.device_seconds / size.tokens
        for work, row in zip(batch, result.rows, strict=True):
            work.charge(work.num_tokens * seconds_of_token)
            timings = Timings(
                started - work.enqueued_at,
                result.device_seconds,
                work.tokenize_seconds,
                started,
                size,
            )
            work.settle(row if isinstance(row, Exception) else work.outcome(row, timings))
        if result.was_split and all(isinstance(row, Exception) for row in result.rows):
            await self._probe_device(submit)
        return result

    def _report(
        self, batch: Sequence[Work], size: BatchSize, result: BatchResult, started: float
    ) -> None:
        self._metrics.batch_done(
            rows=size.rows,
            tokens=size.tokens,
            distinct_prefixes=size.distinct_prefixes,
            device_seconds=result.device_seconds,
            queue_seconds=[started - work.enqueued_at for work in batch],
        )
        if result.was_split:
            self._metrics.batch_failed()

    def _note_speed(self, num_tokens: int, seconds: float) -> None:
        speed = len(self._running) * num_tokens / max(seconds, 1e-6)
        self.tokens_per_second = 0.8 * (self.tokens_per_second or speed) + 0.2 * speed

    async def _probe_device(self, submit: _Submit) -> None:
        """Find out whether the device still works, after every input of a batch failed."""
        try:
            await wrap_future(submit(self._runner.probe))
        except Exception as error:  # noqa: BLE001 - any failure of the probe means that the device failed
            self._fail("the device failed", error)

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(_FAILED, error)

    def _fail(self, what: str, error: BaseException) -> None:
        """Reject every request from now on. Only the log gets the message of the error."""
        reason = f"{what}: {type(error).__name__}"
        _log.critical(
            "%s; the server rejects every request until it is restarted", reason, exc_info=error
        )
        self.failure = reason
        self._fail_queued(reason)

    def _fail_queued(self, reason: str) -> None:
        waiting = self._queue.pop_first(len(self._queue))
        settle_all(waiting, _not_answered(reason))


def _not_answered(reason: str) -> EngineUnavailable:
    return EngineUnavailable(f"The request was not answered: {reason}")


def _size_of(batch: Sequence[Work]) -> BatchSize:
    digests = {work.lease.digest for work in batch}
    return BatchSize(len(batch), num_tokens_of(batch), len(digests))
