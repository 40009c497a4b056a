"""Services: everything that the handlers of one server use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, Unpack

from anyio import CapacityLimiter, to_thread

from prefixes import BackboneFingerprint, Finding, Prefix
from prefixes.limits import Limits
from prefixes.registry import (
    AliasRules,
    AnswerStore,
    ApiKeys,
    AuditLog,
    Canaries,
    FeedbackSettings,
    LimitStore,
    PrefixRegistry,
    Retention,
    Sharing,
    Tenants,
    UsageLog,
)
from prefixes.registry.answer_hours import AnswerHours
from prefixes.registry.webhooks import Webhooks
from server.api.public_prefixes import PublicPrefixes
from server.api.uploads import UploadSlots
from server.api.webhook_events import ErrorEvents
from server.batch_files.folders import BatchFolders
from server.batch_files.store import BatchStore
from server.engine.canaries.counts import CanaryCounts
from server.engine.values import InferenceOptions, InferenceResponse, TaskInput
from server.feedback.sealing import Sealer
from server.limits.allowance import Allowance
from server.observability.metrics import RequestMetrics
from server.publishing import Publisher
from server.rates import RateState
from server.settings import Settings
from server.shutdown import Shutdown
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.row_check import RowChecker
from server.training_jobs.store import TrainingStore

T = TypeVar("T")


class InferenceEngine(Protocol):
    """The engine as routes use it: in this process, or in another one that a front end asks.

    `server.engine.engine.Engine` documents each method.
    """

    async def find_problem(self) -> str | None: ...
    async def find_failure(self) -> str | None: ...
    async def infer(
        self, inputs: Sequence[TaskInput], **options: Unpack[InferenceOptions]
    ) -> InferenceResponse: ...
    async def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]: ...
    async def write_answers(self) -> None: ...
    async def canary_counts(self, tenant: str, task: str, alias: str) -> CanaryCounts: ...
    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """The objects that all requests of one server share. `create_app` builds them."""

    settings: Settings
    backbones: Sequence[BackboneFingerprint]
    engine: InferenceEngine
    publisher: Publisher
    registry: PrefixRegistry
    keys: ApiKeys
    limits: LimitStore
    anonymous_limits: Limits
    tenants: Tenants
    sharing: Sharing
    canaries: Canaries
    alias_rules: AliasRules
    retention: Retention
    audit: AuditLog
    usage: UsageLog
    statistics: AnswerHours
    webhooks: Webhooks
    feedback: FeedbackSettings
    answers: AnswerStore
    sealer: Sealer
    events: ErrorEvents
    metrics: RequestMetrics
    trainings: TrainingStore
    training_folders: TrainingFolders
    batches: BatchStore
    batch_folders: BatchFolders
    public: PublicPrefixes
    shutdown: Shutdown
    uploads: UploadSlots = field(default_factory=UploadSlots)
    row_checker: RowChecker = field(default_factory=RowChecker)
    # Separate threads: lists of thousands of entries, and writes that wait for each other, must not
    # occupy the threads that check the key of every request.
    _readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(8))
    _writers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))
    _renderers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))
    _checkers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))

    @property
    def backbone(self) -> BackboneFingerprint:
        """The default backbone."""
        return self.backbones[0]

    async def read(self, call: Callable[[], T]) -> T:
        """Read from the registry or the store on a thread."""
        return await to_thread.run_sync(call, limiter=self._readers)

    async def write(self, call: Callable[[], T]) -> T:
        """Write to the registry on a thread."""
        return await to_thread.run_sync(call, limiter=self._writers)

    async def render(self, call: Callable[[], T]) -> T:
        """Render large outputs on a thread."""
        return await to_thread.run_sync(call, limiter=self._renderers)

    async def check(self, call: Callable[[], T]) -> T:
        """Check an upload on a thread, where that takes minutes or gigabytes."""
        return await to_thread.run_sync(call, limiter=self._checkers)
