"""What a training that ran for a server came to, as plain values for `outcome.json`."""

import math
from pathlib import Path
from typing import Any

from prefixes.errors import PrefixRejected
from training.errors import DataProblem, DataRejected, PlanRejected, TrainingError
from training.sources import place_in

_MAX_PROBLEMS = 100


def success(
    *, metric: str, part: str, num_rows: int, new: float, live: float | None, remarks: list[str]
) -> dict[str, Any]:
    """Describe a new prefix and how it did.

    Args:
        metric: what both figures are.
        part: the held-out rows that both were measured on, `validation` or `test`.
        num_rows: of that part.
        new: the new prefix's figure.
        live: the live one's; None where there is none, or it cannot be measured on these rows.
        remarks: sentences about the training.
    """
    return {
        "is_success": True,
        "metric": metric,
        "measured_on": part,
        "num_rows": num_rows,
        "new": _finite(new),
        "live": None if live is None else _finite(live),
        "warnings": remarks,
    }


def refusal(error: TrainingError | PrefixRejected) -> dict[str, Any]:
    """Describe why there is no prefix; problems of rows each with its file and line."""
    rows = error.problems if isinstance(error, DataRejected) else ()
    return {
        "is_success": False,
        "code": _code(error),
        "detail": str(error),
        "errors": [
            {
                "field": _place(row),
                "message": row.message,
            }
            for row in rows[:_MAX_PROBLEMS]
        ],
    }


def _place(row: DataProblem) -> str:
    """Say where a problem is by the part that its file is, and never by where the file lies."""
    part = Path(row.file.name).stem
    return f"{part}, {place_in(row.file)} {row.line}" if row.line else part


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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
