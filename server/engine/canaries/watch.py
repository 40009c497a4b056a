"""CanaryWatch: counts what canaries do, compares them in the shadow, and rolls bad ones back."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prefixes import PrefixRef
from prefixes.errors import InputRejected, PrefixError, PrefixRejected, StoreCorrupted
from prefixes.lengths import LengthOptions
from prefixes.registry import Actor, Canaries, CanaryRoute, PrefixVersion, Target
from prefixes.registry.canary_counts import CanaryId
from server.engine.canaries.comparison import agree, label_of
from server.engine.canaries.counts import CanaryCounts, VersionCounts
from server.engine.canaries.shadows import Shadow, ShadowRunner
from server.engine.input_outcome import InputOutcome
from server.engine.values import InferenceResult, TaskInput
from server.errors import InferenceFailed, ResidencyBudgetExceeded

_FAULTS: Final = (InferenceFailed, ResidencyBudgetExceeded, StoreCorrupted, PrefixRejected)
"""Errors for which a version itself is to blame, and not its caller or the server."""

Disagreed = Callable[[int, int], None]
"""Takes the place of an input, and the number of a version that gives another answer."""

_BOUNDS: Final = Actor("canary bounds")
MAX_CANARIES: Final = 1000
"""Maximum number of canaries that are watched. The oldest are forgotten, and begin anew."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Watched:
    """One canary: its counts, and how far the next input for the shadow is, in percent.

    `counts` are all of it, `unwritten` those since the last write.
    """

    route: CanaryRoute
    counts: CanaryCounts = field(default_factory=CanaryCounts)
    unwritten: CanaryCounts = field(default_factory=CanaryCounts)
    progress: float = 0.0
    is_ending: bool = False

    @property
    def id(self) -> CanaryId:
        version = self.route.version
        return CanaryId(version.tenant, version.task, self.route.alias, *self.route.identity)

    @property
    def both(self) -> tuple[CanaryCounts, CanaryCounts]:
        return self.counts, self.unwritten

    def of(self, version: PrefixVersion) -> tuple[VersionCounts, ...]:
        is_canary = version.number == self.route.version.number
        return tuple(counts.of(is_canary=is_canary) for counts in self.both)

    def takes_next(self) -> bool:
        """Return whether the next input is in the shadow share: exactly its share of all inputs."""
        self.progress += self.route.plan.shadow_percent
        if self.progress < 100:
            return False
        self.progress -= 100
        return True


class CanaryWatch:
    """Watches the canaries of all requests. Belongs to the engine's event loop.

    The counts begin anew with each new canary. `server.engine.canaries.writer` writes them, and
    reads those of all servers.
    """

    def __init__(self, canaries: Canaries, shadows: ShadowRunner) -> None:
        self._canaries = canaries
        self._shadows = shadows
        # A thread of its own: a locked database must not hold up the threads of requests.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="canaries")
        self._watched: dict[tuple[str, str, str], _Watched] = {}
        self._stored: dict[CanaryId, CanaryCounts] = {}
        self._rollbacks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def counts(self, tenant: str, task: str, alias: str) -> CanaryCounts:
        """Return the counts of the canary that an alias has, or had last."""
        place = (tenant, task, alias)
        watched = self._watched.get(place)
        if watched is not None:
            return watched.counts
        # No request to this server has used the canary since the start.
        stored = (counts for canary, counts in self._stored.items() if canary[:3] == place)
        return next(stored, CanaryCounts())

    def restore(self, stored: Mapping[CanaryId, CanaryCounts]) -> None:
        """Continue with the stored counts, to which all servers on the database add."""
        self._stored = dict(stored)
        for watched in self._watched.values():
            if (total := self._stored.pop(watched.id, None)) is not None:
                total.add(watched.unwritten)
                watched.counts = total
                self._check(watched)

    def take(self) -> dict[CanaryId, CanaryCounts]:
        """Return what was counted since the last call."""
        nothing, taken = CanaryCounts(), {}
        for watched in self._watched.values():
            if watched.unwritten != nothing:
                taken[watched.id], watched.unwritten = watched.unwritten, CanaryCounts()
        return taken

    def put_back(self, taken: Mapping[CanaryId, CanaryCounts]) -> None:
        """Keep counts that were taken, but could not be written."""
        for watched in self._watched.values():
            if (counts := taken.get(watched.id)) is not None:
                watched.unwritten.add(counts)

    def answered(
        self,
        targets: Mapping[PrefixRef, Target],
        inputs: Sequence[TaskInput],
        results: Sequence[InferenceResult],
        lengths: LengthOptions,
        *,
        disagreed: Disagreed | None = None,
    ) -> None:
        """Count the answers of a request, and queue some of its inputs for the other version.

        `disagreed` is called for each input that gets another answer from it.
        """
        if all(target.canary is None for target in targets.values()):
            return
        for place, (item, result) in enumerate(zip(inputs, results, strict=True)):
            target = targets[item.ref]
            if target.canary is None:
                continue
            watched = self._find(item.ref, target.canary)
            version = _version_of(target, result)
            for counts in watched.of(version):
                counts.answered(result.timings)
            if watched.takes_next():
                told = None if disagreed is None else partial(disagreed, place)
                self._add_shadow(watched, target, item, result, lengths, told=told)
            self._check(watched)

    @contextmanager
    def counting_failures(
        self, targets: Mapping[PrefixRef, Target], versions: Mapping[PrefixRef, PrefixVersion]
    ) -> Iterator[None]:
        """Count a request that fails with one of `_FAULTS`.

        The error does not say which version is to blame. Requests for several references are
        therefore not counted.
        """
        try:
            yield
        except _FAULTS:
            if len(targets) == 1:
                [(ref, target)] = targets.items()
                if target.canary is not None:
                    self._count_failure(self._find(ref, target.canary), versions[ref])
            raise

    def _find(self, ref: PrefixRef, route: CanaryRoute) -> _Watched:
        key = (ref.tenant, ref.task, str(ref.alias))
        watched = self._watched.get(key)
        if watched is None or watched.route.identity != route.identity:
            watched = self._watched[key] = _Watched(route)
            watched.counts = self._stored.pop(watched.id, watched.counts)
            if len(self._watched) > MAX_CANARIES:
                del self._watched[next(iter(self._watched))]
        watched.route = route  # its shares and bounds may have changed
        return watched

    def _add_shadow(
        self,
        watched: _Watched,
        target: Target,
        item: TaskInput,
        result: InferenceResult,
        lengths: LengthOptions,
        *,
        told: Callable[[int], None] | None,
    ) -> None:
        other = _other_version(target, result)

        def drop() -> None:
            for counts in watched.both:
                counts.num_dropped += 1

        self._shadows.add(
            Shadow(
                other.digest,
                item.fields,
                lengths.over(target.rules_for(other)),
                done=partial(self._compare, watched, target, result, told),
                failed=partial(self._shadow_failed, watched, other),
                dropped=drop,
                expires_at=self._shadows.deadline(),
            )
        )

    async def _compare(
        self,
        watched: _Watched,
        target: Target,
        live: InferenceResult,
        told: Callable[[int], None] | None,
        outcome: InputOutcome,
    ) -> None:
        """Compare the answers of both versions, each under its own rules."""
        other = _other_version(target, live)
        for version_counts in watched.of(other):
            version_counts.shadowed(outcome.timings)
        shadow = outcome.result(other, live.fields, target.rules_for(other))
        is_stable = other.number != watched.route.version.number
        old, new = (shadow, live) if is_stable else (live, shadow)
        loop = asyncio.get_running_loop()
        is_equal = await loop.run_in_executor(self._thread, agree, old, new)
        pair = (label_of(old), label_of(new))
        labels = None if pair[0] is None or pair[1] is None else (pair[0], pair[1])
        for counts in watched.both:
            counts.compared(is_equal=is_equal, labels=labels)
        if told is not None and not is_equal:
            told(other.number)
        self._check(watched)

    def _shadow_failed(self, watched: _Watched, other: PrefixVersion, error: Exception) -> None:
        """Count an input that only one version can answer, and log anything unexpected."""
        if isinstance(error, (InputRejected, *_FAULTS)):
            self._count_failure(watched, other)
        else:
            _log.error("a shadow run of %s failed: %s", other.ref, error, exc_info=error)

    def _count_failure(self, watched: _Watched, version: PrefixVersion) -> None:
        for counts in watched.of(version):
            counts.num_failed += 1
        self._check(watched)

    def _check(self, watched: _Watched) -> None:
        """Roll the canary back if it exceeds a bound."""
        reason = watched.counts.excess(watched.route.plan)
        if reason is None or watched.is_ending:
            return
        watched.is_ending = True
        task = asyncio.get_running_loop().create_task(self._roll_back(watched, reason))
        self._rollbacks.add(task)
        task.add_done_callback(self._rollbacks.discard)

    async def _roll_back(self, watched: _Watched, reason: str) -> None:
        route = watched.route
        end = partial(self._canaries.roll_back, route, reason=reason, by=_BOUNDS)
        try:
            is_ended = await asyncio.get_running_loop().run_in_executor(self._thread, end)
        except PrefixError as error:
            watched.is_ending = False  # the next answer tries again
            _log.warning("could not roll back the canary %s: %s", route.version.ref, error)
            return
        if is_ended:
            _log.warning("rolled back the canary %s: %s", route.version.ref, reason)


def _other_version(target: Target, result: InferenceResult) -> PrefixVersion:
    """Return the version of an alias with a canary that did not give the result."""
    canary = target.canary
    is_stable = _version_of(target, result) == target.stable
    return canary.version if canary is not None and is_stable else target.stable


def _version_of(target: Target, result: InferenceResult) -> PrefixVersion:
    canary = target.canary
    if canary is not None and result.version.version == canary.version.number:
        return canary.version
    return target.stable
