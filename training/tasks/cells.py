"""Reads texts, lists and numbers from the cells of rows, and reports problems."""

import math
from collections.abc import Mapping
from typing import Any, Final

from prefixes.characters import HALF_SURROGATE, first_surrogate, is_blank
from training.errors import DataProblem
from training.files.rows import Row

LABEL_SETTING: Final = "label_column"
_TEXT_SETTINGS: Final = "text_column or pair_column"

MAX_NUMBER: Final = 1e18
"""Maximum magnitude of a target: outputs are float32, and their squares must be finite."""


def read_texts(row: Row, columns: Mapping[str, str], problems: list[DataProblem]) -> dict[str, Any]:
    """Read the texts of a row by name. Cells that are not texts are problems."""
    texts = {name: read_text(row, column, problems) for name, column in columns.items()}
    return {name: text for name, text in texts.items() if text is not None}


def read_text(row: Row, column: str, problems: list[DataProblem]) -> str | None:
    """Read a text with visible characters that can be encoded as UTF-8."""
    if is_absent(row, column, _TEXT_SETTINGS, problems):
        return None
    objection = text_objection(row.columns[column])
    if objection is not None:
        problems.append(row.problem(f"{column!r}: expected text, found {objection:.200}"))
        return None
    return str(row.columns[column])


def is_absent(row: Row, column: str, setting: str, problems: list[DataProblem]) -> bool:
    """Return whether a row lacks a column, and report that as a problem.

    The row alone does not show whether its value or the whole column is missing.
    """
    if column in row.columns:
        return False
    problems.append(
        row.problem(
            f"{column!r}: is missing; give every row a value, or name another column with "
            f"{setting}, found only the columns {', '.join(row.columns):.200}"
        )
    )
    return True


def text_objection(value: Any) -> str | None:
    """Describe a value that is not a text with visible characters."""
    if not isinstance(value, str):
        return repr(value)
    if is_blank(value):
        return "an empty text"
    if first_surrogate(value) is not None:
        return HALF_SURROGATE
    return None


def read_list(row: Row, column: str, problems: list[DataProblem]) -> tuple[str, ...]:
    """Read a list of texts, each of which may be empty; returns none after a problem."""
    value = row.columns.get(column)
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        problems.append(row.problem(f"{column!r}: expected a list of texts, found {value!r:.80}"))
        return ()
    if any(first_surrogate(text) is not None for text in value):
        problems.append(row.problem(f"{column!r}: expected text, found {HALF_SURROGATE}"))
        return ()
    return tuple(value)


def read_number(row: Row, column: str, problems: list[DataProblem]) -> float:
    """Read a finite number. After a problem, return NaN."""
    if is_absent(row, column, LABEL_SETTING, problems):
        return math.nan
    value = row.columns[column]
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= MAX_NUMBER:  # neither is NaN
        problems.append(
            row.problem(
                f"{column!r}: expected a number of at most {MAX_NUMBER:g}, found {value!r:.80}"
            )
        )
    return number
