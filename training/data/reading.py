"""Reads sources of rows, and turns rows into examples."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from prefixes.spec import TaskType
from training.data.token_rows import read_tagged, with_values
from training.datasets import CANDIDATE, dataset_named
from training.errors import DataProblem, DataRejected
from training.examples import Candidate, Columns, Examples, Input, Layout
from training.files.packed import PackedList
from training.files.row_readers import read_rows
from training.files.rows import MAX_PROBLEMS, Row, RowFile
from training.sources import Source
from training.tasks import TaskDefinition

_USUAL_COLUMNS: Final = Columns()


def read_part(
    source: Source,
    dataset: str | None,
    task_type: TaskType | None = None,
    columns: Columns = _USUAL_COLUMNS,
) -> RowFile:
    """Read a source: a part of a published dataset in any of its forms, or any other rows.

    Task types with lists accept several notations of a list.

    Raises:
        DataRejected: if the source cannot be read, or lacks the columns of the dataset.
    """
    if dataset is not None:
        return dataset_named(dataset).read(source)
    if task_type == "token_classification":
        return with_values(read_tagged(source, columns), columns)
    file = read_rows(source)
    has_lists = task_type in {"multiple_choice", "question_answering"}
    return with_values(file, columns) if has_lists else file


def read_examples(
    definition: TaskDefinition[Any], layout: Layout, file: RowFile, problems: list[DataProblem]
) -> Examples[Any]:
    """Turn rows into examples. Problems are added to `problems`."""
    problems += file.problems
    inputs = read_inputs(definition, layout, file, problems)
    truths = PackedList(
        definition.read_truth(layout, row, fields, problems)
        for row, fields in zip(_while_few(file, problems), inputs, strict=False)
    )
    candidates = _candidates(file, problems) if layout.has_candidates else ()
    return Examples(inputs, truths, candidates, file.path, file.rows.lines)


def read_inputs(
    definition: TaskDefinition[Any], layout: Layout, file: RowFile, problems: list[DataProblem]
) -> PackedList[Input]:
    """Read the texts of rows, labeled or not. Problems are added to `problems`."""
    return PackedList(
        definition.read_input(layout, row, problems) for row in _while_few(file, problems)
    )


def reject(problems: Sequence[DataProblem]) -> None:
    """Raise DataRejected if there are problems."""
    if problems:
        raise DataRejected(tuple(problems))


def _while_few(file: RowFile, problems: Sequence[DataProblem]) -> Iterator[Row]:
    """Yield rows until there are more problems than anyone would read."""
    most = len(problems) + MAX_PROBLEMS
    return itertools.takewhile(lambda _: len(problems) < most, file.rows)


def _candidates(file: RowFile, problems: list[DataProblem]) -> PackedList[Candidate]:
    """Read the candidate answer of each row."""
    problems += [
        row.problem("expected an entity of a query, found a text alone")
        for row in file.rows
        if CANDIDATE not in row.columns
    ]
    found = (row.columns[CANDIDATE] for row in file.rows if CANDIDATE in row.columns)
    return PackedList(Candidate(one["query"], one["text"], tuple(one["accepted"])) for one in found)
