"""Writes recorded answers to the database every few seconds and at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.recorded_answer_rows import NewAnswer
from prefixes.registry.recorded_answers import AnswerStore
from server.engine.recording.answers import content_of, margin_of
from server.engine.recording.recorder import MAX_ANSWERS, AnswerRecorder, GivenAnswer
from server.feedback.sealing import Sealer
from server.periodic import repeating

SECONDS_BETWEEN_WRITES: Final = 5.0
"""A process that is killed loses at most the answers of this time."""
_ROWS_OF_A_WRITE: Final = 1000
"""Other changes of the database wait while these are written."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def recording(
    recorder: AnswerRecorder,
    store: AnswerStore,
    sealer: Sealer,
    *,
    seconds_between: float = SECONDS_BETWEEN_WRITES,
) -> AsyncIterator[None]:
    """Write recorded answers now and then while the context lasts, and at its end."""
    writer = _Writer(recorder, store, sealer)
    recorder.write = writer.write
    try:
        async with repeating(writer.write, seconds=seconds_between):
            yield
    finally:
        recorder.write = None


class _Writer:
    def __init__(self, recorder: AnswerRecorder, store: AnswerStore, sealer: Sealer) -> None:
        self._recorder = recorder
        self._store = store
        self._sealer = sealer
        self._turn = asyncio.Lock()

    async def write(self) -> None:
        """Write everything. If that fails, the next call includes the remaining answers."""
        async with self._turn:
            answers, disagreements, num_dropped = self._recorder.take()
            if num_dropped:
                _log.warning(
                    "did not record %d answers: more than %d of a tenant within %g seconds, or "
                    "very long texts",
                    num_dropped,
                    MAX_ANSWERS,
                    SECONDS_BETWEEN_WRITES,
                )
            try:
                while answers:
                    some = answers[:_ROWS_OF_A_WRITE]
                    rows = await run_in_threadpool(self._sealed, some)
                    await run_in_threadpool(self._store.add, rows)
                    answers = answers[_ROWS_OF_A_WRITE:]
                if disagreements:
                    await run_in_threadpool(self._store.note_disagreements, disagreements)
            except StoreUnavailable as error:
                self._recorder.put_back(answers, disagreements)
                _log.warning("could not write recorded answers; will try again: %s", error)

    def _sealed(self, answers: list[GivenAnswer]) -> list[NewAnswer]:
        return [self._row(one) for one in answers]

    def _row(self, one: GivenAnswer) -> NewAnswer:
        version, result = one.result.version, one.result
        assert version.version is not None, "results name a version"
        return NewAnswer(
            version.tenant,
            version.task,
            version.version,
            one.recording.request_id,
            one.place,
            one.given_at,
            self._sealer.seal(content_of(result).to_bytes()),
            margin_of(result),
        )
