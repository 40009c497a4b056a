"""Execution: the parts that run admitted inputs."""

import math
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from prefixes.backbone import Backbone, Streams
from prefixes.registry import PrefixRegistry
from server.batching.dispatcher import Dispatcher
from server.batching.latency import TrialBatches, limits_within
from server.batching.runner import Runner
from server.batching.scheduler import BatchLimits
from server.engine.options import EngineLimits, EngineMetrics
from server.engine.pipeline import Pipeline
from server.engine.tokenization import TokenizerPool
from server.residency.memory import PrefixMemory
from server.residency.pins import Pins


class Execution:
    """The memory of prefixes, the tokenizers, the queue and the device of one engine."""

    def __init__(
        self,
        backbone: Backbone,
        registry: PrefixRegistry,
        limits: EngineLimits,
        metrics: EngineMetrics,
        threads: Executor,
    ) -> None:
        self.memory = PrefixMemory(
            backbone,
            registry,
            resident_bytes=limits.resident_bytes,
            host_bytes=limits.host_bytes,
            metrics=metrics,
        )
        self.residents = self.memory.residents
        batch_limits = BatchLimits(limits.max_batch_tokens, limits.max_batch_rows)
        runner = Runner(backbone, self.residents.pool)
        streams = Streams.on(backbone.device, limits.num_streams)
        self.dispatcher = Dispatcher(runner, batch_limits, metrics, streams)
        self._pins = Pins(limits.pinned, registry, self.residents, threads)
        self._tokenizers = TokenizerPool(backbone.texts)
        self.pipeline = Pipeline(self.residents, self.dispatcher, self._tokenizers, metrics)
        self._trials = TrialBatches(backbone, self.residents.pool)
        self._find_limits: Callable[[], BatchLimits] | None = None
        if (target := limits.target_seconds) is not None:
            self._find_limits = partial(limits_within, batch_limits, target, self._trials)

    async def start(self) -> None:
        """Warm up the device, and pin prefixes."""
        await self.dispatcher.start(self._trials, self._find_limits)
        await self._pins.start()

    async def stop(self) -> None:
        """Stop the threads, and fail the requests that still wait."""
        self._pins.stop()
        await self.dispatcher.stop()
        self.residents.close()
        self._tokenizers.close()

    def is_idle(self) -> bool:
        """Return whether no text is queued."""
        return self.dispatcher.num_waiting_tokens == 0

    def estimate_wait(self) -> int:
        """Estimate in how many seconds the queue is empty, from 1 to 60."""
        speed = self.dispatcher.tokens_per_second
        seconds = self.dispatcher.num_waiting_tokens / speed if speed else 1.0
        return min(60, max(1, math.ceil(seconds)))
