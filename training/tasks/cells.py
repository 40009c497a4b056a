"""Cells of rows: texts, labels and numbers, or the problem that there is another thing."""

import math
from collections.abc import Mapping
from typing import Any, Final

from prefixes.characters import is_blank
from training.errors import DataProblem
from training.files.rows import Row

MAX_LABEL_LENGTH: Final = 200
_LABEL_FLAG: Final = "--label-column"


def read_texts(row: Row, columns: Mapping[str, str], problems: list[DataProblem]) -> dict[str, Any]:
    """Read the texts of a row by their names, those that are texts."""
    texts = {name: read_text(row, column, problems) for name, column in columns.items()}
    return {name: text for name, text in texts.items() if text is not None}


def read_text(row: Row, column: str, problems: list[DataProblem]) -> str | None:
    """Read a text that a reader can see, and that can be written as UTF-8."""
    if _is_absent(row, column, "--text-column or --pair-column", problems):
        return None
    objection = text_objection(row.columns[column])
    if objection is not None:
        problems.append(row.problem(f"{column!r}: expected text, found {objection:.200}"))
        return None
    return str(row.columns[column])


def _is_absent(row: Row, column: str, flags: str, problems: list[DataProblem]) -> bool:
    """Note that a row has no such column, and which flags name another; say whether it is so."""
    if column in row.columns:
        return False
    problems.append(
        row.problem(
            f"{column!r}: no such column; if it has another name, give that with {flags}, "
            f"found only the columns {', '.join(row.columns):.200}"
        )
    )
    return True


def text_objection(value: Any) -> str | None:
    """Say what a value is instead of a text with words in it."""
    if not isinstance(value, str):
        return repr(value)
    if is_blank(value):
        return "an empty text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which is not valid Unicode"
    return None


def read_list(row: Row, column: str, problems: list[DataProblem]) -> tuple[str, ...]:
    """Read a list of texts, which may be empty themselves; without them there are none."""
    value = row.columns.get(column)
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        problems.append(row.problem(f"{column!r}: expected a list of texts, found {value!r:.80}"))
        return ()
    if any("\ud800" <= character <= "\udfff" for text in value for character in text):
        problems.append(row.problem(f"{column!r}: has half of a surrogate pair, no valid Unicode"))
        return ()
    return tuple(value)


def read_number(row: Row, column: str, problems: list[DataProblem]) -> float:
    """Read a finite number; without one it is not a number."""
    if _is_absent(row, column, _LABEL_FLAG, problems):
        return math.nan
    value = row.columns[column]
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        problems.append(row.problem(f"{column!r}: expected a number, found {value!r:.80}"))
    return number


def read_label(row: Row, column: str, problems: list[DataProblem]) -> list[str]:
    """Read exactly one label; without it there is none."""
    if _is_absent(row, column, _LABEL_FLAG, problems):
        return []
    return _labels(row, column, [row.columns.get(column)], problems)


def read_labels(row: Row, column: str, separator: str, problems: list[DataProblem]) -> list[str]:
    """Read any number of labels: a list, or one cell in which `separator` parts them."""
    if _is_absent(row, column, _LABEL_FLAG, problems):
        return []
    value = row.columns[column]
    if isinstance(value, str):
        value = [part.strip() for part in value.split(separator) if part.strip()]
    return _labels(row, column, value if isinstance(value, list) else [value], problems)


def _labels(row: Row, column: str, values: list[Any], problems: list[DataProblem]) -> list[str]:
    names = [_name(item) for item in values if isinstance(item, str | int) or _is_whole(item)]
    if len(names) != len(values) or not all(0 < len(x) <= MAX_LABEL_LENGTH for x in names):
        expected = f"a label of 1 to {MAX_LABEL_LENGTH} characters"
        found = row.columns.get(column)
        problems.append(row.problem(f"{column!r}: expected {expected}, found {found!r:.80}"))
        return []
    return names


def refuse_unknown(
    row: Row, names: list[str], labels: tuple[str, ...], problems: list[DataProblem]
) -> None:
    """Note the first of a row's labels that the task does not have."""
    unknown = [name for name in names if name not in labels]
    if unknown:
        problems.append(
            row.problem(f"the label {unknown[0][:80]!r} is not one of the task's labels")
        )


def in_order(names: set[str]) -> tuple[str, ...]:
    """Sort labels; whole numbers come by value, before words."""
    return tuple(sorted(names, key=_natural))


def _is_whole(item: Any) -> bool:
    """Say whether it is a whole number as tables write it that have gaps: 1.0."""
    return isinstance(item, float) and item.is_integer()


def _name(label: str | float) -> str:
    """Write a label as the file does; JSON's `true` is not Python's, and 1.0 is the label 1."""
    if isinstance(label, float):
        label = int(label)
    return str(label).lower() if isinstance(label, bool) else str(label).strip()


def _natural(label: str) -> tuple[bool, int, str]:
    is_number = label.isdecimal()
    return not is_number, int(label) if is_number else 0, label
