"""BatchExecution: answers the rows of one file, from its last checkpoint on."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import QuotaExceeded, StoreUnavailable
from prefixes.registry.server_leases import LeaseLost
from server.batch_files.answering import AnsweredRows, RowAnswerer
from server.batch_files.crashes import CrashJournal
from server.batch_files.errors import BatchCancelled, BatchFailed, BatchPaused
from server.batch_files.folders import BatchFolder
from server.batch_files.input_file import InputFile
from server.batch_files.input_rows import InputRow, RowReader
from server.batch_files.models import FixedModels
from server.batch_files.pacing import Pacer, Turn
from server.batch_files.records import BatchFile, Checkpoint, RunningState
from server.batch_files.results import ResultFile, ResultLine, ResultsLost
from server.batch_files.store import BatchStore

_TURN_SECONDS: Final = 30.0
"""Time after which a file lets one of another tenant run."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Chunk:
    """Rows that are being answered."""

    rows: Sequence[InputRow]
    answered: asyncio.Task[AnsweredRows]


class BatchExecution:
    """Runs one file. Belongs to the engine's event loop."""

    def __init__(
        self,
        batch: BatchFile,
        folder: BatchFolder,
        *,
        store: BatchStore,
        answerer: RowAnswerer,
        pacer: Pacer,
        max_rows: int,
    ) -> None:
        self._batch = batch
        self._folder = folder
        kind = batch.request.file_format
        self._input = InputFile(folder.rows(kind), kind)
        self._store = store
        self._answerer = answerer
        self._pacer = pacer
        self._max_rows = max_rows
        self._checkpoint = batch.checkpoint
        self._next = batch.checkpoint.num_done  # the index of the next row to read
        self._chunks: deque[_Chunk] = deque()
        self._is_at_end = False
        self._saved_bytes = batch.checkpoint.result_bytes
        self._saved_at = self._began_at = time.monotonic()

    async def run(self) -> None:
        """Answer all rows that are left, and save checkpoints meanwhile.

        Raises:
            BatchCancelled: when the owner cancelled it.
            BatchPaused: when it must continue later, because of its tenant or another one.
            BatchFailed: when the file cannot be read, or its results cannot be stored.
            LeaseLost: when another server may run it now.
            StoreUnavailable: when the database or the disk fails.
        """
        await self._own_folder()
        journal = await run_in_threadpool(lambda: CrashJournal.open(self._folder.crashes))
        try:
            await run_in_threadpool(self._folder.save)
            await self._run(journal)
        finally:
            await run_in_threadpool(partial(self._close, journal))

    def _close(self, journal: CrashJournal) -> None:
        journal.close()
        if self._folder.mirror is None:
            return
        with suppress(LeaseLost, StoreUnavailable):  # the next run counts a kill, as in `close`
            self._store.running_state(self._batch)  # after a lost lease, another server writes
            self._folder.save()

    async def _run(self, journal: CrashJournal) -> None:
        models = await self._begin()
        state = await self._state()
        with ExitStack() as files:
            results, reader = await run_in_threadpool(self._open, files)
            try:
                while await self._fill(reader, journal, models, state) or self._chunks:
                    chunk = self._chunks.popleft()
                    lines = (await chunk.answered).lines
                    await run_in_threadpool(partial(results.append, lines))
                    self._advance(chunk.rows, lines, results)
                    if time.monotonic() - self._saved_at >= self._seconds_between_checkpoints():
                        await self._save(results)
                        state = await self._state()
                await self._save(results)
            finally:
                await self._stop_chunks()

    def _open(self, files: ExitStack) -> tuple[ResultFile, RowReader]:
        """Open the results and the rows. The stack has them even if the caller is cancelled."""
        results = files.enter_context(closing(self._open_results()))
        reader = files.enter_context(closing(self._input.open(self._checkpoint.row_offset)))
        return results, reader

    async def _own_folder(self) -> None:
        """Exclude a server that has lost the file, but does not know it yet."""
        if self._batch.is_taken_over:
            await run_in_threadpool(self._folder.detach)
            await run_in_threadpool(lambda: self._store.note_own_folder(self._batch))

    async def _begin(self) -> FixedModels:
        """Count the rows and fix the versions, unless that was done before a restart."""
        models = await run_in_threadpool(lambda: FixedModels.load(self._folder.models))
        if models is not None and self._batch.num_rows is not None:
            return models
        summarize = partial(self._input.summarize, max_rows=self._max_rows)
        summary = await run_in_threadpool(summarize)
        models = await self._answerer.fix_models(self._batch, summary.models)
        await run_in_threadpool(lambda: models.save(self._folder.models))
        await run_in_threadpool(self._folder.save)
        await run_in_threadpool(lambda: self._store.begin(self._batch, summary.num_rows))
        return models

    def _open_results(self) -> ResultFile:
        # Checked once the file is open: a later holder detaches the folder, and then uses another.
        confirm = partial(self._store.running_state, self._batch)
        open_at = partial(ResultFile.open, self._folder.results, confirm=confirm)
        try:
            return open_at(self._checkpoint.result_bytes)
        except ResultsLost:
            _log.warning("batch %s starts over: its results are lost", self._batch.id)
            self._checkpoint, self._next, self._saved_bytes = Checkpoint(), 0, 0
            return open_at(0)

    async def _state(self) -> RunningState:
        """Read the limits and whether to continue."""
        state = await run_in_threadpool(lambda: self._store.running_state(self._batch))
        if state.is_cancelling:
            raise BatchCancelled
        is_over = time.monotonic() - self._began_at > _TURN_SECONDS
        if state.is_paused or (is_over and await run_in_threadpool(self._store.has_waiting)):
            raise BatchPaused
        return state

    async def _fill(
        self, reader: RowReader, journal: CrashJournal, models: FixedModels, state: RunningState
    ) -> bool:
        """Start chunks, as many as may run now. Returns whether there are rows left."""
        while len(self._chunks) < self._max_chunks(journal):
            if self._is_at_end:
                return False
            turn = await self._pacer.turn()
            rows = await run_in_threadpool(partial(self._read, reader, journal, turn.max_rows))
            if rows:
                answer = self._answer(turn, rows, self._next, models, state)
                self._chunks.append(_Chunk(rows, asyncio.create_task(answer)))
                self._next += len(rows)
            self._is_at_end = not rows
        return True

    def _max_chunks(self, journal: CrashJournal) -> int:
        return 1 if journal.must_run_alone(self._next) else self._pacer.max_chunks

    def _read(self, reader: RowReader, journal: CrashJournal, max_rows: int) -> list[InputRow]:
        """Read the next rows. Those that killed the process before are marked."""
        first, end = self._checkpoint.num_done, self._next + max_rows
        if journal.must_run_alone(self._next):
            first, end = self._next, self._next + 1
        journal.begin(first, end)
        if journal.is_after_kill:
            self._folder.save()  # the next run may be on another server
        rows = reader.read(end - self._next)
        for index in journal.failed:
            if 0 <= (place := index - self._next) < len(rows):
                rows[place] = replace(rows[place], has_crashed=True)
        return rows

    async def _answer(
        self,
        turn: Turn,
        rows: Sequence[InputRow],
        first: int,
        models: FixedModels,
        state: RunningState,
    ) -> AnsweredRows:
        answered = await self._answerer.answer(
            rows, first, batch=self._batch, models=models, state=state
        )
        self._pacer.ran(turn, len(rows), answered.seconds)
        return answered

    def _advance(
        self, rows: Sequence[InputRow], lines: Sequence[ResultLine], results: ResultFile
    ) -> None:
        """Move the checkpoint behind rows whose results are written."""
        done = self._checkpoint
        self._checkpoint = replace(
            done,
            num_done=done.num_done + len(rows),
            num_failed=done.num_failed + sum(line.is_failed for line in lines),
            row_offset=rows[-1].end,
            result_bytes=results.num_bytes,
        )

    def _seconds_between_checkpoints(self) -> float:
        paced = self._pacer.seconds_between_checkpoints
        return max(paced, self._folder.seconds_between_checkpoints)

    async def _save(self, results: ResultFile) -> None:
        """Save a checkpoint. The results before it are never written again."""
        stored = await run_in_threadpool(lambda: self._sync(results))
        save = partial(self._store.save, self._batch, self._checkpoint, stored)
        try:
            await run_in_threadpool(save)
        except QuotaExceeded as error:
            raise BatchFailed(403, error.code, f"{error}. Download the results so far.") from error
        self._saved_at = time.monotonic()

    def _sync(self, results: ResultFile) -> int:
        results.sync()
        if self._folder.mirror is not None:
            self._store.running_state(self._batch)  # after a lost lease, another server writes
        self._folder.save_results(self._saved_bytes, results.num_bytes)
        self._saved_bytes = results.num_bytes
        self._folder.save()
        return results.num_bytes + self._input.num_bytes()

    async def _stop_chunks(self) -> None:
        for chunk in self._chunks:
            chunk.answered.cancel()
        if self._chunks:
            await asyncio.wait([chunk.answered for chunk in self._chunks])
