"""Examples: what the rows of a task's files say, as values without torch."""

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
"""Texts by field name, as the task's template takes them; `choices` is several."""


def identity(fields: Input) -> Hashable:
    """Give what equal inputs have in common, and no others."""
    return tuple(sorted(fields.items()))


def wording(fields: Input) -> Hashable:
    """Give what inputs of the same words have in common, whatever their case and spacing."""
    return tuple(sorted((name, _words(value)) for name, value in fields.items()))


def _words(value: str | tuple[str, ...]) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    return tuple(" ".join(text.casefold().split()) for text in texts)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer that a row proposes to a query, and those that are accepted."""

    query: str
    text: str
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Examples(Generic[Truth]):
    """n inputs as the prefix's template takes them, and what is true of each.

    Where rows propose answers to queries, `candidates` says which; else it is empty. `lines` says
    where in `source` each row stands; it is empty for rows of no file.
    """

    inputs: Sequence[Input]
    truths: Sequence[Truth]
    candidates: Sequence[Candidate] = ()
    source: Source | None = None
    lines: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Examples[Truth]":
        """Choose rows, in the given order."""
        return Examples(
            PackedList(self.inputs[row] for row in rows),
            PackedList(self.truths[row] for row in rows),
            PackedList(self.candidates[row] for row in rows) if self.candidates else (),
            self.source,
            array("q", (self.lines[row] for row in rows)) if self.lines else (),
        )

    def units(self) -> list[list[int]]:
        """List the rows of each query, which stay together when rows are parted."""
        units: dict[str, list[int]] = {}
        for row, candidate in enumerate(self.candidates):
            units.setdefault(candidate.query, []).append(row)
        return list(units.values())


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """All rows of one task, and what the files say about it; `warnings` are about the rows.

    `summary` has a sentence for each part: how many rows it has, and what columns were taken for.

    `is_readable` says whether the backbone's vocabulary covers the texts, as far as that is known.
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

    @property
    def parts(self) -> dict[str, Examples[Any]]:
        """The examples of each file, by what they are for."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that somebody has named; what is not named is looked for by its usual name.

    `separator` parts several labels in one cell. `labels` have a column of zeros and ones each.
    """

    text: str | None = None
    pair: str | None = None
    label: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of a file keep what a task needs.

    `columns` names the column of each text. `labels` are empty until they are known, and for
    tasks that have none; `label` is None where the usual name is meant. `label_columns` are those
    of tasks whose labels have a column of zeros and ones each.
    """

    template: InputTemplate
    columns: Mapping[str, str]
    label: str | None = None
    separator: str = "|"
    labels: tuple[str, ...] = ()
    problem_type: ProblemType | None = None
    has_candidates: bool = False
    label_columns: tuple[str, ...] = ()
