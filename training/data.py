"""Labelled texts: what the rows of a task mean, checked whole before anything is trained."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes import InputTemplate
from prefixes.spec import ProblemType
from training.config import TrainConfig
from training.errors import DataProblem, DataRejected
from training.rows import Row, RowFile, read_rows

SINGLE: Final = InputTemplate()
PAIR: Final = InputTemplate(text="{text_a}", text_pair="{text_b}")
REGRESSION_LABEL: Final = "score"

_MAX_LABEL_LENGTH: Final = 200
_SPLIT_SEED: Final = 0
"""Fixed, so that runs that differ in their seed are measured on the same rows."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledTexts:
    """n inputs as the prefix's template takes them, and their targets.

    `targets` is `[n]` label numbers for a single label, else `[n, C]` float32.
    """

    inputs: tuple[Mapping[str, str], ...]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "LabelledTexts":
        """Choose rows, in the given order."""
        return LabelledTexts(tuple(self.inputs[row] for row in rows), self.targets[rows])


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """All rows of one task, and what the files say about it."""

    labels: tuple[str, ...]
    template: InputTemplate
    train: LabelledTexts
    validation: LabelledTexts
    test: LabelledTexts | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a file keeps what a task needs: a column for each input field, and for the label.

    `separator` parts several labels in one cell.
    """

    fields: Mapping[str, str]
    label: str = "label"
    separator: str = "|"


def load_task(config: TrainConfig) -> TaskData:
    """Read and check all files of a task; split off a validation part where none is given.

    Raises:
        DataRejected: with every problem of every file.
    """
    paths = (config.train, config.validation, config.test)
    files = [None if path is None else read_rows(path) for path in paths]
    train = files[0]
    assert train is not None
    template, columns = _layout(config, train)
    meaning = _Meaning(config.problem_type, columns, config.labels)
    meaning.infer_labels(train)
    parts = [None if file is None else meaning.read(file) for file in files]
    meaning.require_variety(train, parts[0])
    meaning.refuse_problems()
    rows, held_out, tested = parts
    assert rows is not None
    if held_out is None:
        rows, held_out = _split(rows, config.validation_fraction)
    return TaskData(
        labels=meaning.labels,
        template=template,
        train=_sample(rows, config.max_rows),
        validation=held_out,
        test=tested,
        sha256=_digest(file for file in files if file is not None),
    )


def load_labelled(
    path: Path, columns: Columns, *, problem_type: ProblemType, labels: Sequence[str]
) -> LabelledTexts:
    """Read a file for a task whose labels are known.

    Raises:
        DataRejected: with every problem of the file.
    """
    meaning = _Meaning(problem_type, columns, labels)
    texts = meaning.read(read_rows(path))
    meaning.refuse_problems()
    return texts


def load_texts(path: Path, columns: Columns) -> list[Mapping[str, str]]:
    """Read the texts of a file, labelled or not.

    Raises:
        DataRejected: with every problem of the file.
    """
    file = read_rows(path)
    problems = list(file.problems)
    texts: list[Mapping[str, str]] = [_texts(row, columns, problems) for row in file.rows]
    if problems:
        raise DataRejected(tuple(problems))
    return texts


def _layout(config: TrainConfig, file: RowFile) -> tuple[InputTemplate, Columns]:
    """Decide which columns hold the texts: those that were named, or those that are there."""
    present = file.rows[0].columns if file.rows else {}
    first, second = config.text_column, config.pair_column
    if first is None and "text" not in present and {"text_a", "text_b"} <= set(present):
        first, second = "text_a", "text_b"
    template = SINGLE if second is None else PAIR
    names = [first or "text", *([] if second is None else [second])]
    fields = dict(zip(template.fields, names, strict=True))
    return template, Columns(fields, config.label_column, config.label_separator)


class _Meaning:
    """Reads rows as inputs and targets of one task, and collects everything wrong with them."""

    def __init__(
        self, problem_type: ProblemType, columns: Columns, labels: Sequence[str] | None
    ) -> None:
        self._problem_type = problem_type
        self._columns = columns
        self._problems: list[DataProblem] = []
        self.labels = (REGRESSION_LABEL,) if problem_type == "regression" else tuple(labels or ())

    def infer_labels(self, file: RowFile) -> None:
        """Take the labels that occur, in order, unless they were given."""
        if not self.labels:
            found = {label for row in file.rows for label in self._names(row, [])}
            self.labels = tuple(sorted(found, key=_natural))

    def read(self, file: RowFile) -> LabelledTexts:
        self._problems += file.problems
        inputs = tuple(_texts(row, self._columns, self._problems) for row in file.rows)
        targets = [self._target(row) for row in file.rows]
        kind = np.int64 if self._problem_type == "single_label_classification" else np.float32
        return LabelledTexts(inputs, np.array(targets, dtype=kind))

    def require_variety(self, file: RowFile, texts: LabelledTexts | None) -> None:
        """Note rows from which nothing can be learnt: all of them have the same label."""
        assert texts is not None
        if not self._problems and len(np.unique(texts.targets, axis=0)) < 2:
            self._problems.append(
                DataProblem(file.path, None, "all rows have the same label: expected two or more")
            )

    def refuse_problems(self) -> None:
        if self._problems:
            raise DataRejected(tuple(self._problems))

    def _target(self, row: Row) -> int | float | list[float]:
        if self._problem_type == "regression":
            return [self._number(row)]
        names = self._names(row, self._problems)
        known = {label: number for number, label in enumerate(self.labels)}
        unknown = [name for name in names if name not in known]
        if unknown:
            self._problems.append(
                row.problem(f"the label {unknown[0][:80]!r} is not one of the task's labels")
            )
        if self._problem_type == "multi_label_classification":
            return [float(label in names) for label in self.labels]
        return known.get(names[0], 0) if names else 0

    def _number(self, row: Row) -> float:
        value = row.columns.get(self._columns.label)
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # whatever the file holds
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            self._problems.append(
                row.problem(f"{self._columns.label!r}: expected a number, found {value!r:.80}")
            )
        return number

    def _names(self, row: Row, problems: list[DataProblem]) -> list[str]:
        """Read a row's labels: exactly one, or any number for a multi-label task."""
        value = row.columns.get(self._columns.label)
        is_multi = self._problem_type == "multi_label_classification"
        if is_multi and isinstance(value, str):
            value = [part.strip() for part in value.split(self._columns.separator) if part.strip()]
        values = value if is_multi and isinstance(value, list) else [value]
        names = [_name(item) for item in values if isinstance(item, str | int)]
        if len(names) != len(values) or not all(0 < len(x) <= _MAX_LABEL_LENGTH for x in names):
            expected = f"a label of 1 to {_MAX_LABEL_LENGTH} characters"
            problems.append(
                row.problem(f"{self._columns.label!r}: expected {expected}, found {value!r:.80}")
            )
            return []
        return names


def _name(label: str | int) -> str:
    """Write a label as the file does; JSON's `true` is not Python's."""
    return str(label).lower() if isinstance(label, bool) else str(label).strip()


def _natural(label: str) -> tuple[bool, int, str]:
    """Sort whole numbers by value, before words."""
    is_number = label.isdecimal()
    return not is_number, int(label) if is_number else 0, label


def _texts(row: Row, columns: Columns, problems: list[DataProblem]) -> dict[str, str]:
    texts = {}
    for field, column in columns.fields.items():
        objection = _objection(row, column)
        if objection is None:
            texts[field] = row.columns[column]
        else:
            problems.append(row.problem(f"{column!r}: expected text, found {objection:.200}"))
    return texts


def _objection(row: Row, column: str) -> str | None:
    if column not in row.columns:
        return f"only the columns {', '.join(row.columns)}"
    value = row.columns[column]
    if not isinstance(value, str):
        return repr(value)
    if not value.strip():
        return "an empty text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "half of a surrogate pair, which is not valid Unicode"
    return None


def _split(texts: LabelledTexts, fraction: float) -> tuple[LabelledTexts, LabelledTexts]:
    """Hold out a share of the rows, the same on every run, with every label in proportion.

    Rows in random order, then sorted by target, of which every n-th is taken.
    """
    shuffled = np.random.default_rng(_SPLIT_SEED).permutation(len(texts))
    columns = texts.targets.reshape(len(texts), -1)[shuffled]
    order = shuffled[np.lexsort(columns.T)]
    count = max(1, round(len(texts) * fraction))
    places = np.linspace(0, len(texts) - 1, count + 2)[1:-1].round().astype(np.int64)
    held_out = np.sort(order[places])
    rest = np.setdiff1d(np.arange(len(texts)), held_out)
    return texts.take(rest), texts.take(held_out)


def _sample(texts: LabelledTexts, max_rows: int | None) -> LabelledTexts:
    if max_rows is None or max_rows >= len(texts):
        return texts
    chosen = np.random.default_rng(_SPLIT_SEED).permutation(len(texts))[:max_rows]
    return texts.take(np.sort(chosen))


def _digest(files: Iterable[RowFile]) -> str:
    """Identify a task's data: the sha256 of its files' digests, in order."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
