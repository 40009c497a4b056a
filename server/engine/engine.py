"""Engine: from references and texts to logits. Resolves, tokenizes, admits or refuses, waits."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from prefixes import Finding, Prefix, PrefixSpec
from prefixes.backbone import Backbone, EncodedText, replay_findings
from prefixes.errors import InputRejected
from prefixes.registry import PrefixRegistry, PrefixVersion
from server.engine.admission import Admission
from server.engine.dispatcher import BatchMetrics, Dispatcher
from server.engine.errors import EngineUnavailable, InferenceFailed
from server.engine.residents import Lease, ResidencyMetrics, ResidentPrefixes, ResidentStats
from server.engine.runner import Runner
from server.engine.scheduler import BatchLimits
from server.engine.work import Classified, ClassifyInput, Outcome, Work

_REPLAY_SECONDS = 60.0

T = TypeVar("T")


class EngineMetrics(BatchMetrics, ResidencyMetrics, Protocol):
    """All that the engine reports to the outside."""

    def tokenised(self, seconds: float, tokens: int) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of the engine. `max_waiting` counts inputs admitted and not yet answered."""

    max_batch_tokens: int = 4096
    max_batch_rows: int = 256
    max_waiting: int = 2048
    resident_bytes: int = 512 * 2**20


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
        self._residents = ResidentPrefixes(
            backbone, budget_bytes=limits.resident_bytes, fetch=self._fetch, metrics=metrics
        )
        batch_limits = BatchLimits(limits.max_batch_tokens, limits.max_batch_rows)
        runner = Runner(backbone, self._residents.pool)
        self._dispatcher = Dispatcher(runner, batch_limits, metrics)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="resolve-tokenise")
        self._admission = Admission(limits.max_waiting, self._seconds_until_room)
        self._pause: str | None = "starting"

    @property
    def problem(self) -> str | None:
        """Say in one sentence why no work is taken; None when the engine is ready."""
        return self._pause or self._dispatcher.failure

    @property
    def num_waiting(self) -> int:
        """Count the inputs that were admitted and are not yet answered."""
        return self._admission.num_waiting

    def resident_stats(self) -> ResidentStats:
        """Report what is on the device."""
        return self._residents.stats

    async def start(self) -> None:
        """Warm up, then take work."""
        await self._dispatcher.start()
        self._pause = None

    async def drain(self) -> None:
        """Refuse new work and wait until all that was admitted is answered."""
        self._pause = "draining: the server is shutting down"
        await self._admission.until_empty()

    async def stop(self) -> None:
        """End the threads; what still waits is refused."""
        self._pause = self._pause or "stopped"
        await self._dispatcher.stop()
        self._residents.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def classify(
        self,
        inputs: Sequence[ClassifyInput],
        *,
        reader: str | None,
        truncate: bool,
        timeout_seconds: float,
    ) -> list[Classified]:
        """Classify texts of any tasks; admitted and answered whole, or refused whole.

        Args:
            inputs: texts and the prefixes asked for; batched with everybody else's.
            reader: the caller's tenant, None for an anonymous caller.
            truncate: cut texts that are too long instead of refusing them.
            timeout_seconds: time until `DeadlineExceeded`.

        Raises:
            PrefixNotFound: when a prefix does not exist or is not the reader's to see.
            InputRejected: when a text does not fit its task; names the input of a list.
            Overloaded: when there is no room for all inputs now.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting, draining, or after the device failed.
            InferenceFailed: when the forward pass fails on one of these inputs.
        """
        self._check_ready()
        async with self._admission.admit(len(inputs), timeout_seconds) as deadline:
            terms = _Terms(truncate, deadline)
            refs = {item.ref for item in inputs}
            versions = await self._in_thread(partial(self._registry.resolve, refs, reader=reader))
            groups: dict[str, list[int]] = {}
            for index, item in enumerate(inputs):
                groups.setdefault(versions[item.ref].digest, []).append(index)
            answers = await _all(
                [
                    self._classify_group(digest, indexes, inputs, terms)
                    for digest, indexes in groups.items()
                ]
            )
        by_index = {index: answer for group in answers for index, answer in group}
        return [
            _classified(versions[item.ref], by_index[index]) for index, item in enumerate(inputs)
        ]

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Replay a prefix's golden examples in ordinary batches; no finding means all agree.

        Raises:
            Overloaded: when there is no room for the examples now.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting, draining, or after the device failed.
        """
        fields = [example.fields for example in prefix.spec.golden]
        if not fields:
            return ()
        self._check_ready()
        try:
            async with self._admission.admit(len(fields), _REPLAY_SECONDS) as deadline:
                lease = await self._residents.lease(digest, staged=prefix)
                terms = _Terms(truncate=True, deadline=deadline)
                answers = await self._answer(lease, fields, terms)
        except InferenceFailed as error:
            findings: tuple[Finding, ...] = (
                Finding("golden_failed", "spec.golden", "logits", str(error)),
            )
        else:
            logits = [answer.outcome.logits for answer in answers]
            findings = replay_findings(prefix.spec, logits, self.backbone.dtype)
        if findings:
            self._residents.discard(digest)
        return findings

    def _check_ready(self) -> None:
        if self.problem is not None:
            raise EngineUnavailable(f"The server takes no requests now: {self.problem}")

    def _seconds_until_room(self) -> int:
        speed = self._dispatcher.tokens_per_second
        seconds = self._dispatcher.num_waiting_tokens / speed if speed else 1.0
        return min(60, max(1, math.ceil(seconds)))

    async def _classify_group(
        self,
        digest: str,
        indexes: Sequence[int],
        inputs: Sequence[ClassifyInput],
        terms: "_Terms",
    ) -> list[tuple[int, "_Answer"]]:
        """Answer the inputs of one request that ask for the same prefix."""
        lease = await self._residents.lease(digest)
        fields = [inputs[index].fields for index in indexes]
        try:
            answers = await self._answer(lease, fields, terms)
        except InputRejected as error:
            if len(inputs) == 1 or error.index is None:
                raise
            raise type(error)(f"inputs[{indexes[error.index]}]: {error}") from error
        return list(zip(indexes, answers, strict=True))

    async def _answer(
        self, lease: Lease, fields: Sequence[Mapping[str, str]], terms: "_Terms"
    ) -> list["_Answer"]:
        """Tokenize, queue and await texts for one prefix. Gives the lease back."""
        spec = lease.resident.spec
        try:
            texts = await self._tokenise(spec, fields, truncate=terms.truncate)
            now = asyncio.get_running_loop().time()
            works = [Work(lease.share(), text, terms.deadline, now) for text in texts]
        finally:
            lease.release()
        self._dispatcher.submit(works)
        try:
            outcomes = await asyncio.gather(*(work.reply for work in works))
        finally:
            for work in works:
                work.reply.cancel()  # one failed or the caller has gone: nobody waits for the rest
        pairs = zip(texts, outcomes, strict=True)
        return [_Answer(spec, text, outcome) for text, outcome in pairs]

    async def _tokenise(
        self, spec: PrefixSpec, fields: Sequence[Mapping[str, str]], *, truncate: bool
    ) -> list[EncodedText]:
        started = time.perf_counter()
        texts = await self._in_thread(
            partial(self.backbone.texts.encode, spec, fields, truncate=truncate)
        )
        num_tokens = sum(len(text.token_ids) for text in texts)
        self._metrics.tokenised(time.perf_counter() - started, num_tokens)
        return texts

    def _fetch(self, digest: str) -> Prefix:
        return Prefix.from_bytes(self._registry.store.get(digest), fits=self.backbone.fingerprint)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a request asked for beside its inputs; `deadline` in the event loop's seconds."""

    truncate: bool
    deadline: float


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    spec: PrefixSpec
    text: EncodedText
    outcome: Outcome


def _classified(version: PrefixVersion, answer: _Answer) -> Classified:
    return Classified(
        version=version.ref,
        digest=version.digest,
        spec=answer.spec,
        num_tokens=len(answer.text.token_ids),
        is_truncated=answer.text.is_truncated,
        logits=answer.outcome.logits,
        timings=answer.outcome.timings,
    )


async def _all(jobs: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """Run jobs side by side; at the first failure stop the others and raise it."""
    if len(jobs) == 1:
        return [await jobs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
