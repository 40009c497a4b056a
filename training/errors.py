"""Errors of trainings. `TrainingError` is the base class of all others.

- `PlanRejected`: the configuration cannot be read, or is invalid.
- `DataRejected`: labeled files have problems. It lists all of them, each with its row.
- `CheckpointRejected`: the checkpoint is damaged, or belongs to another training.
- `TrainingStopped`: the training was asked to stop. It can be resumed.
- `PublishFailed`: a registry or a server rejected the prefix.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from training.sources import Source, place_in

_SHOWN: Final = 20
_NAMED: Final = 3


class TrainingError(Exception):
    """Base class. The message is for the person who started the training."""


class PlanRejected(TrainingError):
    pass


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One defect of labeled rows. `line` is the first line of the row, None for the whole file.

    Rows with the same defect have the same message up to `, found `.
    """

    file: Source
    line: int | None
    message: str

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.file.name}: {self.message}"
        return f"{self.file.name}, {place_in(self.file)} {self.line}: {self.message}"


class DataRejected(TrainingError):
    """Labeled files that cannot be trained on. `problems` lists all defects.

    The message groups rows with the same defect.
    """

    def __init__(self, problems: tuple[DataProblem, ...]) -> None:
        groups: dict[object, list[DataProblem]] = {}
        for problem in problems:
            defect = problem.message.partition(", found ")[0]
            groups.setdefault((problem.file, problem.line is None, defect), []).append(problem)
        lines = [f"  {_together(group)}" for group in islice(groups.values(), _SHOWN)]
        if len(groups) > _SHOWN:
            lines.append(f"  ... and {len(groups) - _SHOWN} more")
        super().__init__(f"The data has {len(groups)} problem(s):\n" + "\n".join(lines))
        self.problems = problems


def _together(problems: Sequence[DataProblem]) -> str:
    first = problems[0]
    lines = [problem.line for problem in problems if problem.line is not None]
    if len(lines) < 2:
        return str(first)
    return (
        f"{first.file.name}: {len(lines)} rows, the first {at(first.file, lines[:_NAMED])}: "
        f"{first.message}"
    )


def at(source: Source, lines: Iterable[int]) -> str:
    """Describe the positions of rows: `at lines 2, 3 and 7 more`."""
    numbers = list(lines)
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"at {place_in(source)}{'s' if len(numbers) > 1 else ''} {named}{more}"


def few(names: Sequence[str], count: int | None = None) -> str:
    """Join the first few of `count` names: `a, b, c and 7 more`."""
    total = len(names) if count is None else count
    more = f" and {total - _NAMED} more" if total > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class CheckpointRejected(TrainingError):
    pass


class TrainingStopped(TrainingError):
    pass


class PublishFailed(TrainingError):
    pass
