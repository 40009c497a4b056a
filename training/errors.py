"""Everything that can go wrong in a training, one class per failure.

TrainingError
|- PlanRejected        a configuration that cannot be read or does not make sense
|- DataRejected        labelled files with problems; carries every one, with its row
|- CheckpointRejected  a checkpoint that is damaged, or belongs to another training
|- TrainingStopped     somebody asked a training to stop; resuming goes on with it
'- PublishFailed       a registry or server that did not take the prefix
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHOWN: Final = 20


class TrainingError(Exception):
    """Base class. The message is written for the person who started the training."""


class PlanRejected(TrainingError):
    pass


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One defect of a labelled file; `line` is where its row begins, None for the whole file."""

    file: Path
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.file.name if self.line is None else f"{self.file.name}, line {self.line}"
        return f"{place}: {self.message}"


class DataRejected(TrainingError):
    """Labelled files that cannot be trained on. `problems` lists everything wrong with them."""

    def __init__(self, problems: tuple[DataProblem, ...]) -> None:
        lines = [f"  {problem}" for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  ... and {len(problems) - _SHOWN} more")
        super().__init__(f"The data has {len(problems)} problem(s):\n" + "\n".join(lines))
        self.problems = problems


class CheckpointRejected(TrainingError):
    pass


class TrainingStopped(TrainingError):
    pass


class PublishFailed(TrainingError):
    pass
