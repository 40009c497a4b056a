"""Engine: from references and texts to logits. Resolves, tokenizes, admits or refuses, waits."""

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from prefixes import Finding, Prefix, PrefixRef
from prefixes.backbone import Backbone, Streams, replay_findings
from prefixes.errors import InputRejected
from prefixes.registry import PrefixRegistry, PrefixVersion
from prefixes.spec import TaskType
from server.batching.dispatcher import BatchMetrics, Dispatcher
from server.batching.latency import TrialBatches, limits_within
from server.batching.runner import Runner
from server.batching.scheduler import BatchLimits
from server.engine.admission import AdmissionControl
from server.engine.pipeline import InputOutcome, Pipeline, Request, TokenizationMetrics
from server.engine.replay import GoldenReplay, failed_replay
from server.engine.tokenization import TokenizerPool
from server.engine.values import InferenceResult, TaskInput
from server.errors import EngineUnavailable, InferenceFailed
from server.residency.golden_check import GoldenCheck
from server.residency.host_cache import HostCache, default_host_bytes
from server.residency.pins import Pins
from server.residency.residents import ResidencyMetrics, ResidentPrefixes, ResidentStats

T = TypeVar("T")


class EngineMetrics(BatchMetrics, ResidencyMetrics, TokenizationMetrics, Protocol):
    """All that the engine reports to the outside."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of the engine. `max_waiting` counts texts admitted and not yet answered, `max_texts`
    those of one request; an input has one, or one for each choice or window. With
    `target_seconds`, trials at start lower `max_batch_tokens` to what keeps to it. Without
    `host_bytes`, the device decides. `pinned` prefixes never leave the device. `num_streams`
    batches run at once; None for as many as do well.
    """

    max_batch_tokens: int = 4096
    max_batch_rows: int = 256
    max_waiting: int = 2048
    max_texts: int = 256
    resident_bytes: int = 512 * 2**20
    host_bytes: int | None = None
    pinned: tuple[PrefixRef, ...] = ()
    target_seconds: float | None = None
    num_streams: int | None = None


class Engine:
    """The serving path behind the API. Lives on one event loop; build it there."""

    def __init__(
        self,
        backbone: Backbone,
        registry: PrefixRegistry,
        limits: EngineLimits,
        metrics: EngineMetrics,
    ) -> None:
        self.backbone = backbone
        self._registry = registry
        self._metrics = metrics
        self._golden = GoldenCheck(backbone) if backbone.is_quantized else None
        host_bytes = limits.host_bytes
        if host_bytes is None:
            host_bytes = default_host_bytes(backbone.device)
        self._host = HostCache(self._read, budget_bytes=host_bytes)
        self._residents = ResidentPrefixes(
            backbone,
            budget_bytes=limits.resident_bytes,
            fetch=self._fetch,
            metrics=metrics,
            check=self._golden,
        )
        batch_limits = BatchLimits(limits.max_batch_tokens, limits.max_batch_rows)
        runner = Runner(backbone, self._residents.pool)
        streams = Streams.on(backbone.device, limits.num_streams)
        self._dispatcher = Dispatcher(runner, batch_limits, metrics, streams)
        self._resolvers = ThreadPoolExecutor(2, thread_name_prefix="resolve")
        self._pins = Pins(limits.pinned, registry, self._residents, self._resolvers)
        self._tokenizers = TokenizerPool(backbone.texts)
        self._pipeline = Pipeline(self._residents, self._dispatcher, self._tokenizers, metrics)
        self._find_limits: Callable[[], BatchLimits] | None = None
        if limits.target_seconds is not None:
            trials = TrialBatches(backbone, self._residents.pool)
            self._find_limits = partial(limits_within, batch_limits, limits.target_seconds, trials)
        self._max_texts = limits.max_texts
        self._admission = AdmissionControl(limits.max_waiting, self._seconds_until_room)
        at_once = min(limits.max_texts, limits.max_waiting)
        self._golden_replay = GoldenReplay(
            self._admission, self._residents, self._pipeline, at_once
        )
        self._pause: str | None = "starting"

    @property
    def problem(self) -> str | None:
        """Say in one sentence why no work is taken; None when the engine is ready."""
        return self._pause or self._dispatcher.failure

    async def find_problem(self) -> str | None:
        """Give the `problem`, in the way of engines that are in another process."""
        return self.problem

    @property
    def num_waiting(self) -> int:
        """Count the texts that were admitted and are not yet answered."""
        return self._admission.num_waiting

    @property
    def max_batch_tokens(self) -> int:
        """Give the most tokens of a batch; with a target, as found at start."""
        return self._dispatcher.limits.max_tokens

    def resident_stats(self) -> ResidentStats:
        """Report what is on the device, and beside it in the host's memory."""
        return replace(self._residents.stats, host=self._host.stats)

    async def start(self) -> None:
        """Warm up, then take work."""
        await self._dispatcher.start(self._find_limits)
        await self._pins.start()
        self._pause = None

    async def drain(self) -> None:
        """Refuse new work and wait until all that was admitted is answered."""
        self._pause = "draining: the server is shutting down"
        await self._admission.until_empty()

    async def stop(self) -> None:
        """End the threads; what still waits is refused."""
        self._pause = self._pause or "stopped"
        self._pins.stop()
        await self._dispatcher.stop()
        self._residents.close()
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        self._tokenizers.close()

    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        truncate: bool,
        timeout_seconds: float,
        task_type: TaskType | None = None,
    ) -> list[InferenceResult]:
        """Run inputs of any tasks; admitted and answered whole, or refused whole.

        Args:
            inputs: texts and the prefixes asked for; batched with everybody else's.
            reader: the caller's tenant, None for an anonymous caller.
            truncate: cut texts that are too long instead of refusing them.
            timeout_seconds: time until `DeadlineExceeded`.
            task_type: what all tasks must be; None for any.

        Raises:
            PrefixNotFound: when a prefix does not exist or is not the reader's to see.
            WrongTaskType: when a task is not of the type asked for; before anything is run.
            InputRejected: when a text does not fit its task; names the input of a list.
            TooManyInputs: when the inputs become more texts than one request may have.
            Overloaded: when there is no room for all of them now.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting, draining, or after the device failed.
            InferenceFailed: when the forward pass fails on one of these inputs.
        """
        self._check_ready()
        admission = self._admission.admit(len(inputs), timeout_seconds, max_texts=self._max_texts)
        async with admission as admitted:
            refs = {item.ref for item in inputs}
            versions = self._registry.recall(refs, reader=reader)
            if versions is None:
                resolve = partial(self._registry.resolve, refs, reader=reader)
                versions = await self._in_thread(resolve)
            places: dict[str, list[int]] = {}
            for place, item in enumerate(inputs):
                places.setdefault(versions[item.ref].digest, []).append(place)
            request = Request([item.fields for item in inputs], truncate, admitted, task_type)
            answers = await self._pipeline.answer_all(request, places)
        return [
            _inferred(versions[item.ref], item, answers[place]) for place, item in enumerate(inputs)
        ]

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Place a prefix on the device and replay its golden examples in ordinary batches.

        A prefix without any runs a few made-up inputs, which must give finite outputs.

        Returns:
            What is wrong; nothing when it has its place and all logits agree.

        Raises:
            Overloaded: when there is no room for the examples now.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting, draining, or after the device failed.
        """
        findings = await self._replay(prefix, digest)
        if any(finding.code in {"golden_failed", "made_up_failed"} for finding in findings):
            # No prefix is to blame for a device that fails: by now that is known.
            findings = await self._replay(prefix, digest)
        if findings:
            self._residents.discard(digest)
        return findings

    async def _replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        self._check_ready()
        try:
            logits = await self._golden_replay.logits(prefix, digest)
        except (InferenceFailed, InputRejected) as error:
            return (failed_replay(prefix, error),)
        return replay_findings(prefix.spec, logits, self.backbone.precision)

    def _check_ready(self) -> None:
        if self.problem is not None:
            raise EngineUnavailable(f"The server takes no requests now: {self.problem}")

    def _seconds_until_room(self) -> int:
        speed = self._dispatcher.tokens_per_second
        seconds = self._dispatcher.num_waiting_tokens / speed if speed else 1.0
        return min(60, max(1, math.ceil(seconds)))

    def _fetch(self, digest: str) -> Prefix:
        if self._golden is not None:
            self._golden.refuse_known(digest)
        return self._host.fetch(digest)

    def _read(self, digest: str) -> Prefix:
        return Prefix.from_bytes(self._registry.read(digest), fits=self.backbone.fingerprint)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._resolvers, call)


def _inferred(version: PrefixVersion, item: TaskInput, answer: InputOutcome) -> InferenceResult:
    return InferenceResult(
        version=version.ref,
        digest=version.digest,
        spec=answer.spec,
        fields=item.fields,
        texts=answer.texts,
        outputs=tuple(one.outputs for one in answer.outcomes),
        timings=answer.timings,
    )
