"""A task's files: read, checked whole before anything is trained, and parted."""

import dataclasses
import hashlib
from collections.abc import Container, Iterable
from typing import Any, Final

import numpy as np

from prefixes import InputTemplate, PrefixSpec
from training.config import TrainConfig
from training.errors import DataProblem, DataRejected, PlanRejected
from training.examples import Columns, Examples, Input, Layout, TaskData
from training.rows import RowFile, read_rows
from training.sources import Source
from training.tasks import KINDS, TaskKind

_SPLIT_SEED: Final = 0
"""Fixed, so that runs that differ in their seed are measured on the same rows."""


def load_task(config: TrainConfig) -> TaskData:
    """Read and check all files of a task; split off a validation part where none is given.

    Raises:
        DataRejected: with every problem of every file.
    """
    sources = (config.train, config.validation, config.test)
    files = [None if source is None else read_rows(source) for source in sources]
    train = files[0]
    assert train is not None
    kind = KINDS[config.task_type]
    layout = _layout(kind, config, train)
    problems: list[DataProblem] = []
    rows, held_out, tested = (
        None if file is None else _read(kind, layout, file, problems) for file in files
    )
    assert rows is not None
    objection = None if problems else kind.objection(rows.truths)
    if objection is not None:
        problems.append(DataProblem(train.path, None, objection))
    _refuse(problems)
    if held_out is None:
        rows, held_out = _split(kind, rows, config.validation_fraction)
    return TaskData(
        labels=layout.labels,
        template=layout.template,
        train=_sample(rows, config.max_rows),
        validation=held_out,
        test=tested,
        sha256=_digest(file for file in files if file is not None),
    )


def load_examples(source: Source, spec: PrefixSpec, columns: Columns) -> Examples[Any]:
    """Read the labelled rows of a file for a task that is known.

    Raises:
        PlanRejected: when more columns are named than the task has texts.
        DataRejected: with every problem of the file.
    """
    file = read_rows(source)
    kind, layout = _known(spec, columns, file)
    problems: list[DataProblem] = []
    examples = _read(kind, layout, file, problems)
    _refuse(problems)
    return examples


def load_inputs(source: Source, spec: PrefixSpec, columns: Columns) -> list[Input]:
    """Read the texts of a file, labelled or not.

    Raises:
        PlanRejected: as `load_examples`.
        DataRejected: with every problem of the file.
    """
    file = read_rows(source)
    kind, layout = _known(spec, columns, file)
    problems = list(file.problems)
    inputs = [kind.read_input(layout, row, problems) for row in file.rows]
    _refuse(problems)
    return inputs


def _layout(kind: TaskKind[Any], config: TrainConfig, file: RowFile) -> Layout:
    """Decide where the texts stand: in the columns that were named, or those that are there."""
    present = _present(file)
    template = kind.template(config, present)
    layout = Layout(
        template=template,
        columns=_columns(kind, template, config.columns, present),
        label=config.label_column,
        separator=config.label_separator,
        labels=config.labels or (),
        problem_type=config.problem_type,
    )
    return dataclasses.replace(layout, labels=kind.labels(layout, file.rows))


def _known(spec: PrefixSpec, columns: Columns, file: RowFile) -> tuple[TaskKind[Any], Layout]:
    kind = KINDS[spec.task_type]
    return kind, Layout(
        template=spec.input,
        columns=_columns(kind, spec.input, columns, _present(file)),
        label=columns.label,
        separator=columns.separator,
        labels=spec.labels,
        problem_type=spec.problem_type,
    )


def _present(file: RowFile) -> Container[str]:
    return file.rows[0].columns if file.rows else {}


def _columns(
    kind: TaskKind[Any], template: InputTemplate, columns: Columns, present: Container[str]
) -> dict[str, str]:
    """Assign the columns that were named to the task's texts, in order."""
    usual = kind.columns(template, present)
    named = [name for name in (columns.text, columns.pair) if name is not None]
    if len(named) > len(usual):
        raise PlanRejected(
            f"{' and '.join(named)} are too many columns: the task takes {', '.join(usual)}"
        )
    return {**usual, **dict(zip(usual, named, strict=False))}


def _read(
    kind: TaskKind[Any], layout: Layout, file: RowFile, problems: list[DataProblem]
) -> Examples[Any]:
    problems += file.problems
    inputs = tuple(kind.read_input(layout, row, problems) for row in file.rows)
    truths = tuple(
        kind.read_truth(layout, row, fields, problems)
        for row, fields in zip(file.rows, inputs, strict=True)
    )
    return Examples(inputs, truths)


def _refuse(problems: list[DataProblem]) -> None:
    if problems:
        raise DataRejected(tuple(problems))


def _split(
    kind: TaskKind[Any], examples: Examples[Any], fraction: float
) -> tuple[Examples[Any], Examples[Any]]:
    """Hold out a share of the rows, the same on every run, with every label in proportion.

    Rows in random order, then sorted by what is true of them, of which every n-th is taken.
    """
    shuffled = np.random.default_rng(_SPLIT_SEED).permutation(len(examples)).tolist()
    order = sorted(shuffled, key=lambda row: kind.stratum(examples.truths[row]))
    count = max(1, round(len(examples) * fraction))
    places = np.linspace(0, len(examples) - 1, count + 2)[1:-1].round().astype(np.int64)
    held_out = np.sort(np.array(order)[places])
    rest = np.setdiff1d(np.arange(len(examples)), held_out)
    return examples.take(rest), examples.take(held_out)


def _sample(examples: Examples[Any], max_rows: int | None) -> Examples[Any]:
    if max_rows is None or max_rows >= len(examples):
        return examples
    chosen = np.random.default_rng(_SPLIT_SEED).permutation(len(examples))[:max_rows]
    return examples.take(np.sort(chosen))


def _digest(files: Iterable[RowFile]) -> str:
    """Identify a task's data: the sha256 of its files' digests, in order."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
