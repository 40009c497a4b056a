"""Examples: the inputs and truths of rows, as values without torch."""

from array import array
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefixes import InputTemplate
from prefixes.spec import ProblemType
from training.files.packed import PackedList
from training.sources import Source

Truth = TypeVar("Truth")

Input = Mapping[str, str | tuple[str, ...]]
"""Texts by field name of the template. `choices` is a tuple of texts."""


def identity(fields: Input) -> Hashable:
    """Return a key that only equal inputs share."""
    return tuple(sorted(fields.items()))


def wording(fields: Input) -> Hashable:
    """Return a key that inputs with the same words share, regardless of case and spacing."""
    return tuple(sorted((name, _words(value)) for name, value in fields.items()))


def _words(value: str | tuple[str, ...]) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    return tuple(" ".join(text.casefold().split()) for text in texts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row's candidate answer to a query, and the accepted answers."""

    query: str
    text: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Examples(Generic[Truth]):
    """Inputs for the prefix's template, each with its truth.

    `candidates` is empty unless rows propose answers to queries. `lines` are the line numbers of
    the rows in `source`; it is empty for rows that come from no file.
    """

    inputs: Sequence[Input]
    truths: Sequence[Truth]
    candidates: Sequence[Candidate] = ()
    source: Source | None = None
    lines: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Examples[Truth]":
        """Return some rows, in the given order."""
        return Examples(
            PackedList(self.inputs[row] for row in rows),
            PackedList(self.truths[row] for row in rows),
            PackedList(self.candidates[row] for row in rows) if self.candidates else (),
            self.source,
            array("q", (self.lines[row] for row in rows)) if self.lines else (),
        )

    def units(self) -> list[list[int]]:
        """List the rows of each query. They stay together when rows are split."""
        units: dict[str, list[int]] = {}
        for row, candidate in enumerate(self.candidates):
            units.setdefault(candidate.query, []).append(row)
        return list(units.values())


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """All rows of one task, with its labels and template.

    `unlabeled` are rows that a teacher answers; their truths say nothing. `warnings` are about the
    rows. `summary` has a sentence for each part: its number of rows, and the role of each column.
    `is_readable` is False if the backbone's vocabulary is known not to cover the texts.
    """

    labels: tuple[str, ...]
    template: InputTemplate
    train: Examples[Any]
    validation: Examples[Any]
    test: Examples[Any] | None
    sha256: str
    warnings: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    is_readable: bool = True
    unlabeled: Examples[Any] | None = None

    @property
    def parts(self) -> dict[str, Examples[Any]]:
        """The labeled examples by part."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that the user named. The others have their usual names.

    `separator` separates several labels in one cell. Each of `labels` is a column of zeros and
    ones.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file that a task reads.

    `columns` names the column of each text. `labels` is empty until they are known, and for tasks
    without labels. `label` is None for the usual name. `label_columns` are columns of zeros and
    ones, one for each label.
    """

    template: InputTemplate
    columns: Mapping[str, str]
    label: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] = ()
    problem_type: ProblemType | None = None
    has_candidates: bool = False
    label_columns: tuple[str, ...] = ()
