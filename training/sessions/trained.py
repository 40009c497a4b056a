"""TrainedPrefix: a finished run with its files."""

import math
from dataclasses import dataclass
from pathlib import Path

from training.data.lessons import TeacherFacts
from training.examples import TaskData
from training.results.finish import FinishedPrefix
from training.search.record import SweepRecord
from training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True, eq=False)
class TrainedPrefix:
    """A finished run: its prefix file, the metrics of its prefix, and the sweep that found it.

    `data` are the rows that it was trained and measured on; `warnings` are about them and
    about what was fitted on them.
    """

    config: TrainConfig
    data: TaskData
    file: Path
    finished: FinishedPrefix
    warnings: tuple[str, ...] = ()
    sweep: SweepRecord | None = None
    teacher: TeacherFacts | None = None

    @property
    def merit(self) -> float:
        """The metric of the validation rows; the lowest of all without labeled rows."""
        return self.finished.validation.metrics.get(self.config.metric, -math.inf)
