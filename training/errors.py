"""Everything that can go wrong in a training, one class per failure.

TrainingError
|- PlanRejected        a configuration that cannot be read or does not make sense
|- DataRejected        labeled files with problems; carries every one, with its row
|- CheckpointRejected  a checkpoint that is damaged, or belongs to another training
|- TrainingStopped     somebody asked a training to stop; resuming goes on with it
'- PublishFailed       a registry or server that did not take the prefix
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from training.sources import Source, place_in

_SHOWN: Final = 20
_NAMED: Final = 3


class TrainingError(Exception):
    """Base class. The message is written for the person who started the training."""


class PlanRejected(TrainingError):
    pass


@dataclass(frozen=True, slots=True)
class DataProblem:
    """One defect of labeled rows; `line` is where its row begins, None for all of the file.

    What a message has after `, found ` differs from row to row where all have the same defect.
    """

    file: Source
    line: int | None
    message: str

    def __str__(self) -> str:
        if self.line is None:
            return f"{self.file.name}: {self.message}"
        return f"{self.file.name}, {place_in(self.file)} {self.line}: {self.message}"


class DataRejected(TrainingError):
    """Labeled files that cannot be trained on. `problems` lists everything wrong with them.

    The message tells what several rows have in common once, with the first of them.
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
    """Say where rows stand: `at lines 2, 3 and 7 more`, naming a few of them."""
    numbers = list(lines)
    named = ", ".join(map(str, numbers[:_NAMED]))
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"at {place_in(source)}{'s' if len(numbers) > 1 else ''} {named}{more}"


def few(names: Sequence[str], count: int | None = None) -> str:
    """Join a few of `count` names: `a, b, c and 7 more`."""
    total = len(names) if count is None else count
    more = f" and {total - _NAMED} more" if total > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


class CheckpointRejected(TrainingError):
    pass


class TrainingStopped(TrainingError):
    pass


class PublishFailed(TrainingError):
    pass
