"""BatchAnswerer: answers rows of batch files with the engine, at low priority.

The engine runs the inputs of a request as a whole. If one of them fails, the rows are run again in
halves until the failing row is alone, so that an error is the result of its own row only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool

from prefixes.answers import RuleOptions
from prefixes.errors import PrefixError, StoreCorrupted, StoreUnavailable
from prefixes.lengths import LengthOptions
from prefixes.names import PrefixRef
from prefixes.registry import PrefixRegistry
from server.api.batch_rows import PreparedRow, error_line, prepare, result_line
from server.api.batch_schemas import BatchOptions
from server.api.problems import problem_of
from server.batch_files.answering import AnsweredRows
from server.batch_files.input_rows import InputRow
from server.batch_files.models import FixedModel, FixedModels
from server.batch_files.records import BatchFile, BatchRequest, RunningState
from server.batch_files.results import ResultLine
from server.engine.values import InferenceResponse, InferenceResult, TaskInput
from server.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    LimitExceeded,
    ModelRequired,
    Overloaded,
)
from server.limits.allowance import Account, Allowance
from server.rates import RateState

_WEIGHT: Final = 0.1
"""Share of the device, compared with tenants of the default weight."""
_MAX_WAIT_SECONDS: Final = 10.0
_MAX_LATE: Final = 3
"""Number of times that a row alone may run out of time, before that is its error."""
_SHARE_FOR_REQUESTS: Final = 0.5
"""Share of each rate that is left to the requests of the tenant."""


class BackgroundEngine(Protocol):
    """The engine in its own process."""

    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        lengths: LengthOptions,
        timeout_seconds: float,
        allowance: Allowance,
        is_background: bool,
    ) -> InferenceResponse: ...


@dataclass(frozen=True, slots=True, eq=False)
class BatchAnswerer:
    """Belongs to the engine's event loop."""

    engine: BackgroundEngine
    registry: PrefixRegistry
    default_model: str | None
    timeout_seconds: float
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    async def fix_models(self, batch: BatchFile, names: frozenset[str | None]) -> FixedModels:
        """Resolve each name once. A name that cannot be used is the error of its rows."""
        rules = BatchOptions.model_validate(batch.request.options).rules
        fix = partial(self._fix, batch.request, rules)
        found = await run_in_threadpool(lambda: {name: fix(name) for name in names})
        return FixedModels(found)

    async def answer(
        self,
        rows: Sequence[InputRow],
        first: int,
        *,
        batch: BatchFile,
        models: FixedModels,
        state: RunningState,
    ) -> AnsweredRows:
        """Answer rows. See `RowAnswerer`.

        Raises:
            EngineUnavailable: while the engine is stopping, or after the device failed.
            StoreUnavailable: when the database or the store fails.
        """
        options = BatchOptions.model_validate(batch.request.options)
        read = partial(_prepare_all, rows, first, models)
        prepared = await run_in_threadpool(read)
        run = _Run(self, batch.request.tenant, options.lengths, _allowance(batch, state))
        outcomes: dict[int, InferenceResult | Exception] = {}
        runnable = [row for row in prepared if isinstance(row, PreparedRow)]
        for part in _parts(runnable, state):
            outcomes |= await run.outcomes(part)
        started = time.perf_counter()
        lines = await run_in_threadpool(partial(_lines, prepared, outcomes, options))
        return AnsweredRows(lines, run.seconds + time.perf_counter() - started)

    def _fix(self, request: BatchRequest, rules: RuleOptions, name: str | None) -> FixedModel:
        try:
            ref = self._ref(request.tenant, name or request.model or self.default_model)
            target = self.registry.resolve({ref}, reader=request.tenant)[ref]
            if rules.need_labels:
                rules.check([self.registry.spec(target.stable.digest)])
        except (StoreUnavailable, EngineUnavailable):
            raise
        except (PrefixError, ModelRequired) as error:
            return FixedModel(problem=problem_of(error).document())
        return FixedModel(target.stable.ref, target.rules)

    @staticmethod
    def _ref(tenant: str, name: str | None) -> PrefixRef:
        if name is None:
            raise ModelRequired(
                '`model` is missing in the row and in the request. Add "model": "tenant/task".'
            )
        return PrefixRef.parse(name, default_tenant=tenant)


@dataclass(slots=True, eq=False)
class _Run:
    """The inference of one chunk. `seconds` is the time on the device."""

    answerer: BatchAnswerer
    tenant: str
    lengths: LengthOptions
    allowance: Allowance
    seconds: float = 0.0

    async def outcomes(self, rows: Sequence[PreparedRow]) -> dict[int, InferenceResult | Exception]:
        """Run rows, and return the result or the error of each by its index."""
        try:
            results = await self._infer(rows)
        except EngineUnavailable:
            raise
        except Exception as error:
            is_of_store = isinstance(error, StoreUnavailable)
            if is_of_store and not isinstance(error, StoreCorrupted):
                raise
            if len(rows) == 1:
                return {rows[0].index: error}
        else:
            return {row.index: result for row, result in zip(rows, results, strict=True)}
        middle = len(rows) // 2
        return await self.outcomes(rows[:middle]) | await self.outcomes(rows[middle:])

    async def _infer(self, rows: Sequence[PreparedRow]) -> list[InferenceResult]:
        """Run rows as one request. Waits while the server is full or a limit is used up."""
        num_late = 0
        while True:
            try:
                return await self._infer_once(rows)
            except (Overloaded, LimitExceeded) as error:
                wait = min(float(error.retry_after_seconds), _MAX_WAIT_SECONDS)
            except DeadlineExceeded:
                num_late += 1
                if len(rows) > 1 or num_late == _MAX_LATE:
                    raise
                wait = 1.0
            await self.answerer.sleep(wait)

    async def _infer_once(self, rows: Sequence[PreparedRow]) -> list[InferenceResult]:
        response = await self.answerer.engine.infer(
            [row.item for row in rows],
            reader=self.tenant,
            lengths=self.lengths,
            timeout_seconds=self.answerer.timeout_seconds,
            allowance=self.allowance,
            is_background=True,
        )
        self.seconds += max(result.timings.device_seconds for result in response.results)
        if (wait := max(map(_seconds_to_refill, response.rates), default=0.0)) > 0:
            await self.answerer.sleep(min(wait, _MAX_WAIT_SECONDS))
        return response.results


def _seconds_to_refill(rate: RateState) -> float:
    """Return the time until the share of a rate is there again that requests of the tenant need."""
    missing = _SHARE_FOR_REQUESTS * rate.quota - rate.remaining
    return missing * rate.window / rate.quota


def _allowance(batch: BatchFile, state: RunningState) -> Allowance:
    """Charge the tenant and the key that added the file."""
    request = batch.request
    accounts: list[Account | None] = [Account.of("tenant", request.tenant, state.limits)]
    if request.key_id is not None:
        accounts.append(Account.of("key", request.key_id, state.key_limits))
    charged = tuple(one for one in accounts if one is not None)
    return Allowance(charged, _WEIGHT, request.key_id)


def _parts(rows: Sequence[PreparedRow], state: RunningState) -> Iterator[Sequence[PreparedRow]]:
    """Split rows so that each part may be in flight at once."""
    limits = (state.limits.max_in_flight_texts, state.key_limits.max_in_flight_texts)
    size = int(max(1.0, min(float(len(rows)), *limits)))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _prepare_all(
    rows: Sequence[InputRow], first: int, models: FixedModels
) -> list[PreparedRow | ResultLine]:
    return [prepare(row, index, models) for index, row in enumerate(rows, start=first)]


def _lines(
    prepared: Sequence[PreparedRow | ResultLine],
    outcomes: dict[int, InferenceResult | Exception],
    options: BatchOptions,
) -> list[ResultLine]:
    return [
        row if isinstance(row, ResultLine) else _line(row, outcomes[row.index], options)
        for row in prepared
    ]


def _line(
    row: PreparedRow, outcome: InferenceResult | Exception, options: BatchOptions
) -> ResultLine:
    if isinstance(outcome, Exception):
        return error_line(row.index, row.id, outcome)
    return result_line(row, outcome, options.outputs)
