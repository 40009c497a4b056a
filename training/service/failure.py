"""Describes an error that ended a training to the person who started it."""

from pathlib import Path
from typing import Final

from prefixes.errors import PrefixRejected
from training.errors import DataProblem, DataRejected, PlanRejected, TrainingError
from training.service.protocol.messages import Failure, RowProblem
from training.sources import place_in

_MAX_PROBLEMS: Final = 100


def failure_of(error: TrainingError | PrefixRejected) -> Failure:
    """Describe why there is no prefix; each problem of the rows with its file and line."""
    problems = error.problems if isinstance(error, DataRejected) else ()
    return Failure(
        code=_code(error),
        detail=str(error),
        errors=[
            RowProblem(field=_place(problem), message=problem.message)
            for problem in problems[:_MAX_PROBLEMS]
        ],
    )


def _place(problem: DataProblem) -> str:
    """Name the part and the line, never the path of the file on the server."""
    part = Path(problem.file.name).stem
    return f"{part}, {place_in(problem.file)} {problem.line}" if problem.line else part


def _code(error: TrainingError | PrefixRejected) -> str:
    match error:
        case DataRejected():
            return "data_rejected"
        case PlanRejected():
            return "config_rejected"
        case PrefixRejected():
            return error.code
        case _:
            return "training_failed"
