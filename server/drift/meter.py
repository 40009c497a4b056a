"""AnswerMeter: statistics of the answers since the last write to the database."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef, PrefixSpec
from prefixes.answers.statistics import count_answers
from prefixes.encoded import EncodedInput
from prefixes.registry.answer_hours import AnswerHour, AnsweringVersion
from prefixes.spec.statistics import AnswerStatistics

_AT_ONCE: Final = 512
_MAX_WAITING: Final = 8192
"""Numbers of answers that are counted together, and that may wait for it. Further answers are not
counted."""
_MAX_SERIES: Final = 20_000
"""Maximum number of versions with statistics that wait to be written, about 60 MB."""
_HOUR: Final = 3600


class Answer(Protocol):
    """The members of `InferenceResult` that are counted."""

    @property
    def version(self) -> PrefixRef: ...
    @property
    def digest(self) -> str: ...
    @property
    def spec(self) -> PrefixSpec: ...
    @property
    def texts(self) -> EncodedInput: ...
    @property
    def outputs(self) -> tuple[NDArray[np.float32], ...]: ...


class _Series(NamedTuple):
    hour: int
    version: AnsweringVersion


@dataclass(slots=True)
class _Counted:
    statistics: AnswerStatistics
    reference: AnswerStatistics


class AnswerMeter:
    """Counts the answers of versions whose files have statistics to compare with.

    Belongs to the engine's event loop. Counting takes microseconds per text, on a thread.
    """

    def __init__(self, unknown_token: int | None, *, now: Callable[[], float] = time.time) -> None:
        self._unknown_token = unknown_token
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="statistics")
        self._answers: list[Answer] = []
        self._num_waiting = 0
        self._series: dict[_Series, _Counted] = {}  # used on the thread alone

    def observe(self, results: Sequence[Answer]) -> None:
        """Count answers soon. Never waits."""
        self._answers += [one for one in results if _reference_of(one) is not None]
        if len(self._answers) >= _AT_ONCE:
            self._hand_over()

    async def take(self) -> list[tuple[AnswerHour, AnswerStatistics]]:
        """Return the statistics of each version with its reference, and start over with none."""
        self._hand_over()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._take)

    async def put_back(self, rows: Sequence[tuple[AnswerHour, AnswerStatistics]]) -> None:
        """Add statistics that were taken, but could not be written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._put_back, rows)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hand_over(self) -> None:
        answers, self._answers = self._answers, []
        if not answers or self._num_waiting + len(answers) > _MAX_WAITING:
            return
        self._num_waiting += len(answers)
        hour = int(self._now()) // _HOUR
        loop = asyncio.get_running_loop()
        counting = loop.run_in_executor(self._thread, self._count, hour, answers)
        counting.add_done_callback(lambda done: self._counted(done, len(answers)))

    def _counted(self, done: asyncio.Future[None], number: int) -> None:
        self._num_waiting -= number
        if not done.cancelled():
            done.result()  # a bug must be seen in the log

    def _count(self, hour: int, answers: Sequence[Answer]) -> None:
        by_version: dict[AnsweringVersion, list[Answer]] = {}
        for one in answers:
            key = AnsweringVersion(one.version.tenant, one.version.task, one.digest)
            by_version.setdefault(key, []).append(one)
        for version, its_answers in by_version.items():
            spec, reference = its_answers[0].spec, _reference_of(its_answers[0])
            assert reference is not None, "checked before"
            found = count_answers(
                spec,
                [one.texts for one in its_answers],
                [one.outputs for one in its_answers],
                unknown_token=self._unknown_token,
            )
            self._add(_Series(hour, version), found, reference)

    def _add(self, series: _Series, found: AnswerStatistics, reference: AnswerStatistics) -> None:
        counted = self._series.get(series)
        if counted is not None:
            counted.statistics += found
        elif len(self._series) < _MAX_SERIES:
            self._series[series] = _Counted(found, reference)

    def _take(self) -> list[tuple[AnswerHour, AnswerStatistics]]:
        taken, self._series = self._series, {}
        return [
            (
                AnswerHour(
                    datetime.fromtimestamp(series.hour * _HOUR, UTC),
                    series.version,
                    counted.statistics,
                ),
                counted.reference,
            )
            for series, counted in taken.items()
        ]

    def _put_back(self, rows: Sequence[tuple[AnswerHour, AnswerStatistics]]) -> None:
        for row, reference in rows:
            series = _Series(int(row.hour.timestamp()) // _HOUR, row.version)
            self._add(series, row.statistics, reference)


def _reference_of(answer: Answer) -> AnswerStatistics | None:
    rules = answer.spec.decisions
    return None if rules is None else rules.reference
