"""RowAnswerer: what the execution of a batch file needs of the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from server.batch_files.input_rows import InputRow
from server.batch_files.models import FixedModels
from server.batch_files.records import BatchFile, RunningState
from server.batch_files.results import ResultLine


@dataclass(frozen=True, slots=True)
class AnsweredRows:
    """The results of rows, and how long they occupied the device and a thread that wrote them."""

    lines: Sequence[ResultLine]
    seconds: float


class RowAnswerer(Protocol):
    """Turns rows into the lines of their results, with the engine."""

    async def fix_models(self, batch: BatchFile, names: frozenset[str | None]) -> FixedModels:
        """Decide which versions answer the rows that name these models."""
        ...

    async def answer(
        self,
        rows: Sequence[InputRow],
        first: int,
        *,
        batch: BatchFile,
        models: FixedModels,
        state: RunningState,
    ) -> AnsweredRows:
        """Answer rows, of which the first has the index `first`. An error of a row is its result.

        Waits while the server is too busy, or a limit of the tenant or the key is used up.
        """
        ...
