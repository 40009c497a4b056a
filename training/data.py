"""A task's files: read, checked whole before anything is trained, and parted."""

import dataclasses
import hashlib
from collections.abc import Container, Iterable
from typing import Any

import numpy as np

from prefixes import InputTemplate, PrefixSpec
from training.config import TrainConfig
from training.errors import DataProblem, DataRejected, PlanRejected
from training.examples import Columns, Examples, Input, Layout, TaskData
from training.inspection import Part, doubts_of
from training.rows import RowFile, read_rows
from training.sources import Source
from training.split import SPLIT_SEED, split
from training.tasks import KINDS, TaskKind


def load_task(config: TrainConfig) -> TaskData:
    """Read and check all files of a task; split off a validation part where none is given.

    Raises:
        DataRejected: with every problem of every file.
    """
    sources = {"train": config.train, "validation": config.validation, "test": config.test}
    files = {name: read_rows(source) for name, source in sources.items() if source is not None}
    kind = KINDS[config.task_type]
    layout = _layout(kind, config, files["train"])
    problems: list[DataProblem] = []
    parts = {name: Part(file, _read(kind, layout, file, problems)) for name, file in files.items()}
    train = parts.pop("train")
    objection = None if problems else kind.objection(train.examples.truths)
    if objection is not None:
        problems.append(DataProblem(train.file.path, None, objection))
    _refuse(problems)
    examples = {name: part.examples for name, part in parts.items()}
    rows, held_out = train.examples, examples.get("validation")
    if held_out is None:
        rows, held_out = split(kind, rows, config.validation_fraction)
    return TaskData(
        labels=layout.labels,
        template=layout.template,
        train=_sample(rows, config.max_rows),
        validation=held_out,
        test=examples.get("test"),
        sha256=_digest(files.values()),
        doubts=doubts_of(kind, layout.labels, train, list(parts.values()), remedy=_remedy(config)),
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


def _remedy(config: TrainConfig) -> str | None:
    """Say what helps against rare labels, where nothing was done against them."""
    if config.class_weights == "balanced":
        return None
    more = "more rows of what is rare"
    has_weights = config.task_type == "sequence_classification"
    return f"class_weights = balanced, or {more}" if has_weights else more


def _sample(examples: Examples[Any], max_rows: int | None) -> Examples[Any]:
    if max_rows is None or max_rows >= len(examples):
        return examples
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(examples))[:max_rows]
    return examples.take(np.sort(chosen))


def _digest(files: Iterable[RowFile]) -> str:
    """Identify a task's data: the sha256 of its files' digests, in order."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
