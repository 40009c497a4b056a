"""DriftWatch: writes statistics once a minute, and reports versions whose texts have drifted."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.answer_hours import AnswerHour, AnswerHours, AnsweringVersion
from prefixes.spec.statistics import AnswerStatistics
from server.drift.comparison import Drift, drifts_of
from server.drift.meter import AnswerMeter

WINDOW: Final = timedelta(hours=24)
"""The answers of this time are compared with the validation rows."""
_SECONDS_BETWEEN_WRITES: Final = 60.0
_SECONDS_BETWEEN_CHECKS: Final = 600.0
"""Time between two comparisons of the same version."""
_MAX_VERSIONS: Final = 100
"""Maximum number of versions in the metrics: those with the largest index."""

_log = logging.getLogger(__name__)

_Drifts = dict[AnsweringVersion, list[Drift]]


class DriftMetrics(Protocol):
    """Metrics that the watch reports."""

    def drifted(self, number: int, indexes: Mapping[tuple[str, str, str], float]) -> None: ...


class DriftWatch:
    """Runs in one process of a server, that of the engine. Belongs to its event loop."""

    def __init__(
        self,
        meter: AnswerMeter,
        hours: AnswerHours,
        metrics: DriftMetrics,
        *,
        bound: float,
        retention: timedelta,
        seconds_between: float = _SECONDS_BETWEEN_WRITES,
    ) -> None:
        """Set up.

        Args:
            meter: counts the answers.
            hours: keeps their statistics.
            metrics: shows the indexes.
            bound: population stability index above which a version has drifted.
            retention: time for which statistics are kept.
            seconds_between: time between two writes.
        """
        self._meter = meter
        self._hours = hours
        self._metrics = metrics
        self._bound = bound
        self._retention = retention
        self._seconds_between = seconds_between
        self._checked: dict[AnsweringVersion, float] = {}
        self._drifts: _Drifts = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the block lasts, and once more at its end."""
        task = asyncio.create_task(self._keep_writing())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.write()
            self._meter.close()

    async def write(self) -> None:
        """Write all statistics, and compare the versions that they belong to."""
        rows = await self._meter.take()
        try:
            if rows:
                await run_in_threadpool(self._hours.add, [row for row, _ in rows])
        except StoreUnavailable as error:
            await self._meter.put_back(rows)
            _log.warning("could not write the statistics of answers; will try again: %s", error)
            return
        try:
            await self._check(rows)
            oldest = datetime.now(UTC) - self._retention
            await run_in_threadpool(self._hours.remove_before, oldest)
        except StoreUnavailable as error:
            _log.warning("could not compare the statistics of answers: %s", error)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._seconds_between)
            try:
                await self.write()
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("the statistics of answers could not be written")

    async def _check(self, rows: list[tuple[AnswerHour, AnswerStatistics]]) -> None:
        now = asyncio.get_running_loop().time()
        due = {
            row.version: reference
            for row, reference in rows
            if now - self._checked.get(row.version, float("-inf")) >= _SECONDS_BETWEEN_CHECKS
        }
        for version, reference in due.items():
            await run_in_threadpool(self._compare, version, reference)
            self._checked[version] = now
        if due:
            self._forget(now)
            self._show()

    def _compare(self, version: AnsweringVersion, reference: AnswerStatistics) -> None:
        since = datetime.now(UTC) - WINDOW
        found = self._hours.sum(version, since=since)
        if found is None:
            return
        self._drifts[version] = drifts = list(drifts_of(reference, found, bound=self._bound))
        drifted = [drift for drift in drifts if drift.has_drifted]
        if drifted:
            data = {
                **version._asdict(),
                "texts": found.texts,
                "bound": self._bound,
                "drifted": [asdict(drift) for drift in drifted],
            }
            if self._hours.report(version, data, since=since):
                _log.warning("the texts of %s/%s have drifted", version.tenant, version.task)

    def _forget(self, now: float) -> None:
        """Forget the versions that were not used within the window."""
        oldest = now - WINDOW.total_seconds()
        for version in [one for one, moment in self._checked.items() if moment < oldest]:
            del self._checked[version]
            self._drifts.pop(version, None)

    def _show(self) -> None:
        """Report the number of drifted versions, and the largest indexes of tasks."""
        drifts = self._drifts
        number = sum(any(one.has_drifted for one in some) for some in drifts.values())
        largest = partial(max, key=lambda drift: drift.index)
        order = sorted(drifts, key=lambda one: largest(drifts[one]).index, reverse=True)
        indexes: dict[tuple[str, str, str], float] = {}
        for version in order[:_MAX_VERSIONS]:
            for drift in drifts[version]:
                key = (version.tenant, version.task, drift.statistic)
                indexes[key] = max(drift.index, indexes.get(key, 0.0))
        self._metrics.drifted(number, indexes)
