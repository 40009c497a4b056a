"""RoutedEngine: the engine as an ingress uses it, spread over replicas."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Unpack

from prefixes import Finding, Prefix, PrefixRef, PrefixRejected, PrefixSpec
from prefixes.answers import NO_RULES
from prefixes.errors import InputRejected
from prefixes.registry import Database
from server.engine.canaries.counts import CanaryCounts
from server.engine.gathering import gather
from server.engine.text_sizes import estimate_tokens
from server.engine.values import InferenceOptions, InferenceResponse, InferenceResult, TaskInput
from server.errors import DeadlineExceeded, EngineUnavailable, Overloaded
from server.hosting.front_ends.messages import CompactResults, Reply
from server.hosting.ray.calls import EngineCall, ReplicaLost, ReplicasBusy
from server.hosting.ray.pools import EnginePool, EnginePools, RequestPart
from server.limits.allowance import Allowance
from server.limits.limiter import RequestLimiter
from server.rates import RateState

_MAX_SPECS: Final = 4096
_NUM_TRIES: Final = 2
_SECONDS: Final = 10.0
_REPLAY_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 1.0
"""The replica's own deadline should pass first, because its message says more."""

_log = logging.getLogger(__name__)


class RoutedEngine:
    """Answers as `Engine` does, by calling replicas. Belongs to the event loop of an ingress.

    Limits are counted here, not in the replicas: a tenant's tasks have different replicas.
    """

    def __init__(self, pools: EnginePools, database: Database) -> None:
        """Set up.

        Args:
            pools: the engines, each with its replicas.
            database: what this process has seen of it, a replica sees before it answers.
        """
        self.limiter = RequestLimiter()
        self._pools = pools
        self._database = database
        self._specs = _KnownSpecs()

    async def infer(
        self, inputs: Sequence[TaskInput], **options: Unpack[InferenceOptions]
    ) -> InferenceResponse:
        """Call `Engine.infer` of one replica of each backbone that the inputs need.

        One packed batch runs inputs for several tasks together, for little more than one task.
        Parts for several replicas of a backbone would be admitted, traced and retried apart.
        """
        num_tokens = estimate_tokens(inputs)
        allowance = options["allowance"]
        with self.limiter.admit(allowance, num_texts=len(inputs), num_tokens=num_tokens) as charge:
            options = {**options, "allowance": Allowance(weight=allowance.weight)}
            try:
                results = await self._divided(inputs, options)
            except PrefixRejected:
                if self._pools.is_single:
                    raise
                # An engine may have seen that an alias moved to a version for another backbone.
                await self._pools.see_changes(inputs, options)
                results = await self._divided(inputs, options)
            charge.note_tokens(sum(result.num_tokens for result in results))
            return InferenceResponse(results, charge.rates())

    async def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]:
        """Charge a request that is not inference."""
        return self.limiter.admit_management(allowance)

    async def write_answers(self) -> None:
        """Call `Engine.write_answers` of every replica."""
        call = EngineCall("write_answers", {})
        await asyncio.gather(*(pool.replicas.call_all(call) for pool in self._pools.all))

    async def canary_counts(self, tenant: str, task: str, alias: str) -> CanaryCounts:
        """Call `Engine.canary_counts` of the task's replica."""
        arguments = {"tenant": tenant, "task": task, "alias": alias}
        pool = await self._pools.of_alias(tenant, task, alias)
        counts: CanaryCounts = await self._call(
            pool, EngineCall("canary_counts", arguments), task=f"{tenant}/{task}"
        )
        return counts

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Call `Engine.replay` of one replica of the prefix's backbone."""
        call = EngineCall("replay", {"prefix": prefix, "digest": digest})
        pool = self._pools.of_spec(prefix.spec)
        findings: tuple[Finding, ...] = await self._call(pool, call, seconds=_REPLAY_SECONDS)
        return findings

    async def find_problem(self) -> str | None:
        """Return why a backbone has no replica that answers, None if each has one."""
        found = await asyncio.gather(*map(self._find_problem, self._pools.all))
        return next(filter(None, found), None)

    async def _find_problem(self, pool: EnginePool) -> str | None:
        try:
            problem: str | None = await self._call(pool, EngineCall("find_problem", {}))
        except (EngineUnavailable, DeadlineExceeded, Overloaded) as error:
            problem = str(error)
        if problem is None or self._pools.is_single:
            return problem
        return f"{pool.fingerprint.name}: {problem}"

    async def _divided(
        self, inputs: Sequence[TaskInput], options: InferenceOptions
    ) -> list[InferenceResult]:
        """Let each backbone answer its part, and return the results in the order of the inputs."""
        parts = await self._pools.divide(inputs, options)
        if len(parts) == 1:
            return await self._infer(parts[0].pool, inputs, self._checked(options))
        answered = await gather([self._infer_part(part, inputs, options) for part in parts])
        results = {
            place: result
            for part, some in zip(parts, answered, strict=True)
            for place, result in zip(part.places, some, strict=True)
        }
        return [results[place] for place in range(len(inputs))]

    async def _infer_part(
        self, part: RequestPart, inputs: Sequence[TaskInput], options: InferenceOptions
    ) -> list[InferenceResult]:
        recording = options["recording"]
        if recording is not None:
            options = {**options, "recording": replace(recording, places=part.places)}
        its_inputs = [inputs[place] for place in part.places]
        try:
            return await self._infer(part.pool, its_inputs, self._checked(options))
        except InputRejected as error:
            if error.index is not None:
                error.index = part.places[error.index]
            raise

    def _checked(self, options: InferenceOptions) -> InferenceOptions:
        """Leave out what `divide` has checked, because it concerns the whole request."""
        if self._pools.is_single:
            return options
        return {**options, "task_type": None, "rules": NO_RULES}

    async def _infer(
        self, pool: EnginePool, inputs: Sequence[TaskInput], options: InferenceOptions
    ) -> list[InferenceResult]:
        """Call `Engine.infer` of one replica of a backbone."""
        specs = self._specs.of(item.ref for item in inputs)
        arguments = {"inputs": inputs, **options}
        answer: CompactResults = await self._call(
            pool,
            EngineCall("infer", arguments, frozenset(specs), self._database.change_number),
            task=dominant_task(inputs),
            num_tokens=estimate_tokens(inputs),
            seconds=options["timeout_seconds"],
        )
        return self._completed(inputs, answer, {**specs, **answer.specs})

    async def find_failure(self) -> str | None:
        """Return None: Serve replaces replicas that have failed."""
        return None

    async def _call(
        self,
        pool: EnginePool,
        call: EngineCall,
        *,
        task: str | None = None,
        num_tokens: int = 0,
        seconds: float = _SECONDS,
    ) -> Any:
        """Let a replica answer, or another one if the first is lost.

        Every method may be called twice: an answer that nobody got has changed nothing.
        """
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                return await self._answer(pool, call, task, num_tokens)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"No replica of the engine answered within {seconds:g} seconds. Retry later."
            ) from error
        except ReplicasBusy as error:
            raise Overloaded(
                "All replicas of the engine are busy. Retry later, or send fewer texts at once.",
                retry_after_seconds=1,
            ) from error

    async def _answer(
        self, pool: EnginePool, call: EngineCall, task: str | None, num_tokens: int
    ) -> Any:
        problem: Exception = EngineUnavailable(
            f"{_NUM_TRIES} replicas of the engine exited before they answered. Retry later."
        )
        for attempt in range(_NUM_TRIES):
            try:
                reply = await pool.replicas.call(
                    call, task=task, num_tokens=num_tokens, attempt=attempt
                )
            except ReplicaLost as error:
                _log.warning("a replica was lost during %s: %s", call.method, error)
                continue
            if isinstance(reply, Reply):
                return reply.value
            problem = reply.error()
            if not isinstance(problem, EngineUnavailable):  # another device may still work
                break
        raise problem

    def _completed(
        self,
        inputs: Sequence[TaskInput],
        answer: CompactResults,
        specs: Mapping[str, PrefixSpec],
    ) -> list[InferenceResult]:
        """Add the inputs and the specs to the results, and remember the specs."""
        results = [
            result.completed(item, specs[result.digest])
            for item, result in zip(inputs, answer.results, strict=True)
        ]
        for item, result in zip(inputs, results, strict=True):
            self._specs.add(item.ref, result.digest, result.spec)
        return results


class _KnownSpecs:
    """The last spec that each reference led to. A replica need not send it again."""

    def __init__(self) -> None:
        self._specs: OrderedDict[PrefixRef, tuple[str, PrefixSpec]] = OrderedDict()

    def of(self, refs: Iterable[PrefixRef]) -> dict[str, PrefixSpec]:
        """Return the known specs of references, by digest."""
        return dict(found for ref in refs if (found := self._specs.get(ref)) is not None)

    def add(self, ref: PrefixRef, digest: str, spec: PrefixSpec) -> None:
        """Remember a spec, and forget the one that was not used for the longest time."""
        self._specs[ref] = digest, spec
        self._specs.move_to_end(ref)
        if len(self._specs) > _MAX_SPECS:
            self._specs.popitem(last=False)


def dominant_task(inputs: Sequence[TaskInput]) -> str:
    """Return the task of most inputs; of several, the first. Its replica answers them all."""
    counts = Counter(f"{item.ref.tenant}/{item.ref.task}" for item in inputs)
    return counts.most_common(1)[0][0]
