"""Engine: from prefix references and texts to the device's outputs."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from prefixes import Finding, Prefix
from prefixes.answers import NO_RULES, RuleOptions
from prefixes.backbone import Backbone
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import Canaries, PrefixRegistry
from prefixes.spec import TaskType
from server.batching.work import BACKGROUND
from server.drift.meter import AnswerMeter
from server.engine.admission import AdmissionControl
from server.engine.canaries.counts import CanaryCounts
from server.engine.canaries.shadows import ShadowRunner
from server.engine.canaries.watch import CanaryWatch
from server.engine.execution import Execution
from server.engine.options import EngineLimits, EngineMetrics
from server.engine.recording.recorder import AnswerRecorder
from server.engine.replay import GoldenReplay
from server.engine.resolution import ReferenceResolver, ResolvedInputs
from server.engine.task_checks import TaskChecks
from server.engine.text_sizes import estimate_tokens
from server.engine.values import InferenceResponse, InferenceResult, Recording, TaskInput
from server.errors import EngineUnavailable
from server.limits.allowance import NO_ALLOWANCE, Allowance
from server.rates import RateState
from server.residency.residents import ResidentStats
from server.usage.meter import UsageMeter


class Engine:
    """The serving path behind the API.

    It may be built before any event loop runs. It then belongs to the loop that awaits `start`,
    and every coroutine of it must be awaited on that loop.
    """

    def __init__(
        self,
        backbone: Backbone,
        registry: PrefixRegistry,
        limits: EngineLimits,
        metrics: EngineMetrics,
    ) -> None:
        self.backbone = backbone
        self.usage = UsageMeter(metrics.usage)
        self.answers = AnswerRecorder()
        self.statistics = AnswerMeter(backbone.texts.unknown_token)
        self._resolver_threads = ThreadPoolExecutor(2, thread_name_prefix="resolve")
        self._execution = Execution(backbone, registry, limits, metrics, self._resolver_threads)
        self._resolver = ReferenceResolver(registry, self._resolver_threads)
        self._checks = TaskChecks(registry, self._resolver_threads)
        self._max_texts = limits.max_texts
        self._admission = AdmissionControl(limits.max_waiting, self._execution.estimate_wait)
        self._golden_replay = GoldenReplay(
            self._admission,
            self._execution.residents,
            self._execution.pipeline,
            backbone.precision,
            max_examples=min(limits.max_texts, limits.max_waiting),
        )
        self._shadows = ShadowRunner(
            self._admission,
            self._execution.residents,
            self._execution.pipeline,
            self._execution.is_idle,
        )
        self.canaries = CanaryWatch(Canaries(registry.database), self._shadows)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pause: str | None = "starting"

    @property
    def problem(self) -> str | None:
        """Why the engine rejects requests, as one sentence; None when it accepts them."""
        return self._pause or self._execution.dispatcher.failure

    async def find_problem(self) -> str | None:
        """Return `problem`. A coroutine, because an engine in another process needs one."""
        return self.problem

    async def find_failure(self) -> str | None:
        """Return why the engine rejects all requests until a restart; None if it does not."""
        return self._execution.dispatcher.failure

    @property
    def num_waiting(self) -> int:
        """The number of texts that are admitted and not yet answered."""
        return self._admission.num_waiting

    @property
    def num_waiting_tokens(self) -> int:
        """The number of tokens of all queued texts."""
        return self._execution.dispatcher.num_waiting_tokens

    def has_been_quiet(self, seconds: float) -> bool:
        """Return whether no texts except background ones were in flight in this time."""
        return self._admission.has_been_quiet(seconds)

    @property
    def max_batch_tokens(self) -> int:
        """The maximum number of tokens in a batch; with a target latency, as found at start."""
        return self._execution.dispatcher.limits.max_tokens

    def resident_stats(self) -> ResidentStats:
        """Report which prefixes are on the device and in the host cache."""
        return self._execution.memory.stats()

    def loaded_digests(self) -> frozenset[str]:
        """Return the digests of all prefixes on the device and in the host cache."""
        return self._execution.memory.digests()

    def discard(self, digests: Iterable[str]) -> None:
        """Free the memory of prefixes. A prefix that is in use or pinned stays on the device."""
        self._execution.memory.discard(digests)

    async def start(self) -> None:
        """Warm up the device, pin prefixes, then accept requests on the running event loop."""
        self._loop = asyncio.get_running_loop()
        await self._execution.start()
        self._shadows.start()
        self._pause = None

    async def drain(self) -> None:
        """Reject new requests, and wait until every admitted one is answered."""
        self._pause = "draining: the server is shutting down"
        self._check_loop()
        self._shadows.stop()
        self.canaries.close()
        await self._admission.until_empty()

    async def stop(self) -> None:
        """Stop the threads, and fail the requests that still wait."""
        self._pause = self._pause or "stopped"
        self._shadows.stop()
        await self._execution.stop()
        self._resolver_threads.shutdown(wait=False, cancel_futures=True)

    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        lengths: LengthOptions,
        timeout_seconds: float,
        task_type: TaskType | None = None,
        allowance: Allowance = NO_ALLOWANCE,
        routing_key: str | None = None,
        recording: Recording | None = None,
        explain: OcclusionOptions | None = None,
        rules: RuleOptions = NO_RULES,
        is_background: bool = False,
    ) -> InferenceResponse:
        """Run inputs of any tasks. The request succeeds or fails as a whole.

        Args:
            inputs: texts and the references of their prefixes; batched with other requests.
            reader: the caller's tenant; None for an anonymous caller.
            lengths: the handling of texts that are too long.
            timeout_seconds: time until `DeadlineExceeded`.
            task_type: the type that every task must have; None for any.
            allowance: the limits of the caller's tenant and key.
            routing_key: decides whether the canary of an alias answers; None: never.
            recording: names the request whose answers are recorded; None: they are not.
            explain: explain the inputs that are classified; None explains none.
            rules: the rules of the request; only checked, because they change no output.
            is_background: queue the texts behind those of all tenants, as far as the queue is fair.

        Raises:
            PrefixNotFound: when a prefix does not exist, or the reader may not use it.
            WrongTaskType: when a task has another type. Nothing was loaded or tokenized.
            UnknownLabel: when a rule is for a label that no task has. Nothing was loaded.
            InvalidRules: when no task has labels of the level. Nothing was loaded.
            InputRejected: when a text does not fit its task; names the input if there are several.
            TooManyInputs: when the inputs become more texts than one request may have.
            Overloaded: when the inputs exceed a limit on in-flight texts.
            LimitExceeded: when the inputs exceed a limit of the tenant or of the key.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting or draining, or after the device failed.
            ResidencyBudgetExceeded: when a prefix does not fit on the device.
            InferenceFailed: when the forward pass fails for one of these inputs.
        """
        self._check_ready()
        admission = self._admission.admit(
            len(inputs),
            timeout_seconds,
            tenant=BACKGROUND if is_background else reader,
            max_texts=self._max_texts,
            allowance=allowance,
            num_tokens=estimate_tokens(inputs) if allowance.accounts else 0,
        )
        async with admission as admitted:
            found = await self._resolver.resolve(
                inputs, reader=reader, routing_key=routing_key, task_type=task_type
            )
            groups = found.groups(lengths)
            await self._checks.check(admitted, inputs, groups, rules=rules, explain=explain)
            accounts = self.usage.accounts(reader, found.versions, allowance.key_id)
            admitted.accounts = [accounts[item.ref] for item in inputs]
            fields = [item.fields for item in inputs]
            with self.canaries.counting_failures(found.targets, found.versions):
                outcomes = await self._execution.pipeline.run(
                    admitted, fields, groups, explain=explain
                )
        for account in set(accounts.values()):
            account.add_request()
        results = found.results(outcomes)
        self._note_answers(found, results, lengths, recording)
        return InferenceResponse(results, admitted.charge.rates())

    async def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]:
        """Charge a request that is not inference. See `RequestLimiter.admit_management`."""
        return self._admission.limiter.admit_management(allowance)

    async def write_answers(self) -> None:
        """Write the answers that were recorded so far, so that they can be found."""
        await self.answers.flush()

    async def canary_counts(self, tenant: str, task: str, alias: str) -> CanaryCounts:
        """Return what was counted about the canary that an alias has, or had last."""
        return self.canaries.counts(tenant, task, alias)

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        """Load a prefix onto the device and replay its golden examples in ordinary batches.

        For a prefix without golden examples, a few made-up inputs must give finite outputs.

        Returns:
            Everything that is wrong with the prefix; empty when it fits and all logits agree.

        Raises:
            Overloaded: when the examples exceed the limit on in-flight texts.
            DeadlineExceeded: when the time ran out.
            EngineUnavailable: while starting or draining, or after the device failed.
        """
        self._check_ready()
        findings = await self._golden_replay.findings(prefix, digest)
        if any(finding.code in {"golden_failed", "made_up_failed"} for finding in findings):
            # The device may have failed instead of the prefix. By now the engine knows.
            self._check_ready()
            findings = await self._golden_replay.findings(prefix, digest)
        if findings:
            self._execution.residents.discard(digest)
        return findings

    def _note_answers(
        self,
        found: ResolvedInputs,
        results: Sequence[InferenceResult],
        lengths: LengthOptions,
        recording: Recording | None,
    ) -> None:
        """Count the answers for drift and canaries, and record them if the tenant wants that."""
        self.statistics.observe(results)
        disagreed = None
        if recording is not None:
            self.answers.add(recording, results)
            disagreed = partial(self.answers.disagreed, recording)
        self.canaries.answered(found.targets, found.inputs, results, lengths, disagreed=disagreed)

    def _check_ready(self) -> None:
        if self.problem is not None:
            raise EngineUnavailable(f"The server rejects requests: {self.problem}. Retry later.")
        self._check_loop()

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the engine belongs to the event loop that awaited its `start`")
