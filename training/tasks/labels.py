"""Labels in the cells of rows: one name, several names, or a zero or one for each label."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from prefixes.characters import first_surrogate
from training.errors import DataProblem
from training.files.cell_literals import parse_list, parse_vector
from training.files.rows import Row
from training.tasks.cells import LABEL_SETTING, is_absent

MAX_LABEL_LENGTH: Final = 200

_NUMBER: Final = re.compile(r"\+?(-?(?:0|[1-9][0-9]*))(?:\.([0-9]*?)0*)?")
_LEADING_ZEROS: Final = re.compile(r"([+-]?)0+(?=[0-9])")
_JOINTS: Final = re.compile(r"(?<=\w)[-_](?=\w)")
_QUOTES: Final = "\"'\u2018\u2019\u201c\u201d "
_TRUTHS: Final = {"true": "1", "false": "0"}
_FLAGS: Final = {"1": True, "true": True, "0": False, "false": False}


def read_label(row: Row, column: str, problems: list[DataProblem]) -> list[str]:
    """Read exactly one label; returns no labels after a problem."""
    if is_absent(row, column, LABEL_SETTING, problems):
        return []
    return _names(row, column, [row.columns[column]], problems)


def read_labels(
    row: Row, column: str, separator: str, labels: Sequence[str], problems: list[DataProblem]
) -> list[str]:
    """Read any number of labels: names, or a zero or one for each of the task's `labels`."""
    if is_absent(row, column, LABEL_SETTING, problems):
        return []
    items = _items(row.columns[column], separator)
    names = _names(row, column, items, problems)
    if not _is_vector(names, labels):
        return names
    if len(names) == len(labels):
        return [label for label, one in zip(labels, names, strict=True) if _flag(one)]
    expected = f"{len(labels)} zeros and ones, as the task has labels" if labels else "label names"
    problems.append(
        row.problem(
            f"{column!r}: expected {expected}; to read a zero or one for each label, name the "
            f"labels in order with labels, found {len(names)} zeros and ones"
        )
    )
    return []


def cell_form(value: Any, separator: str, labels: Sequence[str]) -> str:
    """Describe how a cell contains several labels."""
    if _is_vector([_name(item) for item in _items(value, separator)], labels):
        return "a zero or one for each label"
    is_list = isinstance(value, list) or (isinstance(value, str) and parse_list(value) is not None)
    return "as a list" if is_list else f"separated by {separator!r}"


def read_flags(row: Row, columns: Sequence[str], problems: list[DataProblem]) -> list[str]:
    """Read the labels that have a column of their own: those whose column holds a one."""
    present = [name for name in columns if not is_absent(row, name, "label_columns", problems)]
    flags = {name: _flag(_name(row.columns[name])) for name in present}
    problems += [
        row.problem(f"{name!r}: expected 0 or 1, found {row.columns[name]!r:.80}")
        for name, flag in flags.items()
        if flag is None
    ]
    return [name for name, flag in flags.items() if flag]


def refuse_unknown(
    row: Row, names: Sequence[str], labels: tuple[str, ...], problems: list[DataProblem]
) -> None:
    """Report the first label of a row that is not a label of the task."""
    unknown = next((name for name in names if name not in labels), None)
    if unknown is not None:
        near = _by(labels, likeness).get(likeness(unknown))
        hint = f"; did you mean {near!r}?" if near else ""
        problems.append(
            row.problem(f"the label {unknown[:80]!r} is not one of the task's labels{hint}")
        )


def inferred(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct labels in order. Integers are sorted by value, before words.

    In a column of numbers, `1` and `1.0` are the same label, `1`.
    """
    found = {unicodedata.normalize("NFC", name) for name in names}
    numbers = {_plain(name) for name in found}
    is_mixed = len(numbers) < len(found) and all(map(_NUMBER.fullmatch, found))
    return tuple(sorted(numbers if is_mixed else found, key=_natural))


def known_names(names: Sequence[str], labels: tuple[str, ...]) -> list[str]:
    """Spell names as the labels of the task: `1.0` as `1` if that is a label, and NFD as NFC."""
    return [
        name if name in labels else _by(labels, _plain).get(_plain(name), name) for name in names
    ]


def likeness(label: str) -> str:
    """Return a key that all spellings of a label share that look the same to a reader."""
    text = unicodedata.normalize("NFKC", label).casefold()
    visible = "".join(one for one in text if unicodedata.category(one) != "Cf").strip(_QUOTES)
    words = " ".join(_JOINTS.sub(" ", visible).split())
    plain = _plain(_LEADING_ZEROS.sub(r"\1", words))
    return _TRUTHS.get(plain, plain)


@lru_cache(maxsize=16)
def _by(labels: tuple[str, ...], key: Any) -> Mapping[str, str]:
    return {key(label): label for label in labels}


def _items(value: Any, separator: str) -> list[Any]:
    """List what a cell of several labels holds."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else [value]
    listed = parse_list(value)
    if listed is None:
        listed = parse_vector(value)
    if listed is None:
        listed = [part.strip() for part in value.split(separator) if part.strip()]
    return listed


def _is_vector(names: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether names are zeros and ones, one per label: no row names a label twice."""
    flags = [_flag(name) for name in names]
    if not flags or None in flags:
        return False
    if len(set(flags)) < len(flags):
        return True
    return len(flags) == len(labels) and all(_flag(label) is None for label in labels)


def _names(row: Row, column: str, values: list[Any], problems: list[DataProblem]) -> list[str]:
    names = [_name(item) for item in values]
    if not all(0 < len(name) <= MAX_LABEL_LENGTH for name in names):
        expected = f"a label of 1 to {MAX_LABEL_LENGTH} characters"
        found = row.columns.get(column)
        problems.append(row.problem(f"{column!r}: expected {expected}, found {found!r:.80}"))
        return []
    return names


def _name(value: Any) -> str:
    """Write a label as the file does; JSON's `true` is not Python's, and 1.0 is the label 1.

    Return an empty name for a value that cannot be a label.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else ""
    if not isinstance(value, str | int):
        return ""
    name = str(value).strip()
    return name if first_surrogate(name) is None else ""


def _flag(name: str) -> bool | None:
    return _FLAGS.get(_plain(name).lower())


def _plain(name: str) -> str:
    """Write a number in its shortest way, and any other name in Unicode's composed form."""
    number = _NUMBER.fullmatch(name)
    if number is None:
        return unicodedata.normalize("NFC", name)
    whole, decimals = number.groups()
    return f"{whole}.{decimals}" if decimals else whole


def _natural(label: str) -> tuple[bool, int, str]:
    is_number = label.isdecimal()
    return not is_number, int(label) if is_number else 0, label
