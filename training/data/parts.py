"""A task's files: read, checked whole before anything is trained, and parted."""

import dataclasses
import hashlib
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from prefixes import InputTemplate, PrefixSpec
from prefixes.spec import TaskType
from training.data.row_warnings import Part, row_warnings, validation_warnings
from training.data.spelling_warnings import label_warnings, text_warnings
from training.data.split import SPLIT_SEED, split
from training.data.summary import summaries
from training.data.token_rows import read_tagged, with_values
from training.datasets import CANDIDATE, DATASETS, dataset_named
from training.errors import DataProblem, DataRejected, PlanRejected
from training.examples import Candidate, Columns, Examples, Input, Layout, TaskData
from training.files.packed import PackedList
from training.files.row_readers import read_rows
from training.files.rows import MAX_PROBLEMS, Row, RowFile
from training.settings.config import TrainConfig
from training.settings.defaults import QUERY_METRICS
from training.sources import Source
from training.tasks import TaskDefinition, definition_of
from training.tasks.entity_scores import has_roles

_USUAL_COLUMNS: Final = Columns()


def load_task(config: TrainConfig) -> TaskData:
    """Read and check all files of a task; split off a validation part where none is given.

    Raises:
        DataRejected: with every problem of every file.
    """
    sources = {"train": config.train, "validation": config.validation, "test": config.test}
    files = {
        name: read_part(source, config.dataset, config.task_type, config.columns)
        for name, source in sources.items()
        if source is not None
    }
    definition = definition_of(config.task_type)
    layout = _layout(definition, config, list(files.values()))
    problems: list[DataProblem] = []
    parts = {
        name: Part(file, _read(definition, layout, file, problems)) for name, file in files.items()
    }
    train = parts.pop("train")
    objection = None if problems else definition.objection(train.examples.truths)
    if objection is not None:
        problems.append(DataProblem(train.file.path, None, objection))
    _refuse(problems)
    _check_metric(config, layout)
    examples = {name: part.examples for name, part in parts.items()}
    rows, held_out, tested = train.examples, examples.get("validation"), examples.get("test")
    if held_out is None:
        rows, held_out = split(definition, rows, config.validation_fraction)
    learned = _sample(rows, config.max_rows)
    validation = _sample(held_out, config.max_validation_rows)
    others = list(parts.values())
    data = TaskData(
        labels=layout.labels,
        template=layout.template,
        train=learned,
        validation=validation,
        test=None if tested is None else _sample(tested, config.max_test_rows),
        sha256=_digest(files.values()),
        warnings=(
            *(f"{train.name}: {one}" for one in definition.row_warnings(layout, train.file.rows)),
            *label_warnings(definition, layout, train),
            *(warning for part in (train, *others) for warning in text_warnings(part)),
            *row_warnings(definition, layout.labels, train, others, remedy=_remedy(config)),
            *validation_warnings(definition, layout.labels, learned, validation),
        ),
    )
    summary = summaries(definition, layout, config.dataset, files, data.parts)
    return dataclasses.replace(data, summary=tuple(summary))


def read_part(
    source: Source,
    dataset: str | None,
    task_type: TaskType | None = None,
    columns: Columns = _USUAL_COLUMNS,
) -> RowFile:
    """Read a file, or a part of the hub: of a set by name, in any of the set's forms.

    Of other rows, those of a type of task that has lists may hold them in other forms.

    Raises:
        DataRejected: when it cannot be read at all, or has other columns than the set.
    """
    if dataset is not None:
        return dataset_named(dataset).read(source)
    if task_type == "token_classification":
        return with_values(read_tagged(source, columns), columns)
    file = read_rows(source)
    has_lists = task_type in {"multiple_choice", "question_answering"}
    return with_values(file, columns) if has_lists else file


def load_examples(source: Source, spec: PrefixSpec, columns: Columns) -> Examples[Any]:
    """Read the labeled rows of a file for a task that is known.

    Raises:
        PlanRejected: when more columns are named than the task has texts.
        DataRejected: with every problem of the file.
    """
    file = read_part(source, _dataset_of(spec, columns), spec.task_type, columns)
    definition, layout = _known(spec, columns, file)
    problems: list[DataProblem] = []
    examples = _read(definition, layout, file, problems)
    _refuse(problems)
    return examples


def load_inputs(source: Source, spec: PrefixSpec, columns: Columns) -> PackedList[Input]:
    """Read the texts of a file, labeled or not.

    Raises:
        PlanRejected: as `load_examples`.
        DataRejected: with every problem of the file.
    """
    file = read_part(source, _dataset_of(spec, columns), spec.task_type, columns)
    definition, layout = _known(spec, columns, file)
    problems = list(file.problems)
    inputs = PackedList(
        definition.read_input(layout, row, problems) for row in _while_few(file, problems)
    )
    _refuse(problems)
    return inputs


def _dataset_of(spec: PrefixSpec, columns: Columns) -> str | None:
    """Name the set that a prefix was trained on, as its file tells it.

    None for any other rows, as those whose columns somebody has named.
    """
    if any((columns.text, columns.pair, columns.label)):
        return None
    recipe = spec.provenance.recipe if spec.provenance else {}
    name = recipe.get("dataset")
    return name if isinstance(name, str) and name in DATASETS else None


def _check_metric(config: TrainConfig, layout: Layout) -> None:
    """Refuse a metric that is of this type of task, but not of these labels or rows.

    Raises:
        PlanRejected: when it would choose the best step.
    """
    if config.metric == "f1" and config.task_type == "sequence_classification":
        if len(layout.labels) != 2:
            raise PlanRejected(
                f"select_by f1 is that of the second of two labels, {config.run_name} has "
                f"{len(layout.labels)}: choose macro_f1"
            )
    elif config.metric in QUERY_METRICS and not layout.has_candidates:
        raise PlanRejected(
            f"select_by {config.metric} is for rows that answer queries, as ReCoRD's"
        )
    elif config.metric == "role_f1" and not has_roles(layout.labels):
        raise PlanRejected(
            f"select_by role_f1 is for predicates (V) with their roles, {config.run_name} has no "
            "label B-V: choose entity_f1"
        )


def _layout(
    definition: TaskDefinition[Any], config: TrainConfig, files: Sequence[RowFile]
) -> Layout:
    """Decide where the texts stand: in the columns that were named, or those that are there.

    Labels that nobody gave are those of the training rows; of a set by name, of all its rows.
    """
    present = _present(files[0])
    template = definition.template(config, present)
    layout = Layout(
        template=template,
        columns=_columns(definition, template, config.columns, present),
        label=config.label_column,
        separator=config.label_separator,
        labels=config.labels or (),
        problem_type=config.problem_type,
        has_candidates=config.dataset is not None and CANDIDATE in present,
        label_columns=config.label_columns or (),
    )
    layout = dataclasses.replace(layout, label_columns=_label_columns(layout, present))
    known = files if config.dataset is not None else files[:1]
    rows = itertools.chain.from_iterable(file.rows for file in known)
    return dataclasses.replace(layout, labels=definition.labels(layout, rows))


def _known(spec: PrefixSpec, columns: Columns, file: RowFile) -> tuple[TaskDefinition[Any], Layout]:
    definition = definition_of(spec.task_type)
    dataset = _dataset_of(spec, columns)
    layout = Layout(
        template=spec.input,
        columns=_columns(definition, spec.input, columns, _present(file)),
        label=columns.label,
        separator=columns.separator,
        labels=spec.labels,
        problem_type=spec.problem_type,
        has_candidates=dataset is not None and CANDIDATE in _present(file),
        label_columns=columns.labels,
    )
    label_columns = _label_columns(layout, _present(file))
    return definition, dataclasses.replace(layout, label_columns=label_columns)


def _label_columns(layout: Layout, present: Container[str]) -> tuple[str, ...]:
    """Name the columns of single labels: those given, or the labels where no other column is."""
    is_free = layout.problem_type == "multi_label_classification" and layout.label is None
    if layout.label_columns or not is_free or "label" in present:
        return layout.label_columns
    return layout.labels if all(label in present for label in layout.labels) else ()


def _present(file: RowFile) -> Container[str]:
    return file.rows[0].columns if file.rows else {}


def _columns(
    definition: TaskDefinition[Any],
    template: InputTemplate,
    columns: Columns,
    present: Container[str],
) -> dict[str, str]:
    """Assign the columns that were named to the task's texts, in order."""
    usual = definition.columns(template, present)
    named = [name for name in (columns.text, columns.pair) if name is not None]
    if len(named) > len(usual):
        raise PlanRejected(
            f"{' and '.join(named)} are too many columns: the task takes {', '.join(usual)}"
        )
    return {**usual, **dict(zip(usual, named, strict=False))}


def _read(
    definition: TaskDefinition[Any], layout: Layout, file: RowFile, problems: list[DataProblem]
) -> Examples[Any]:
    problems += file.problems
    inputs = PackedList(
        definition.read_input(layout, row, problems) for row in _while_few(file, problems)
    )
    truths = PackedList(
        definition.read_truth(layout, row, fields, problems)
        for row, fields in zip(_while_few(file, problems), inputs, strict=False)
    )
    candidates = _candidates(file, problems) if layout.has_candidates else ()
    return Examples(inputs, truths, candidates, file.path, file.rows.lines)


def _while_few(file: RowFile, problems: Sequence[DataProblem]) -> Iterator[Row]:
    """Give rows until so many problems were found that nobody would read more."""
    most = len(problems) + MAX_PROBLEMS
    return itertools.takewhile(lambda _: len(problems) < most, file.rows)


def _candidates(file: RowFile, problems: list[DataProblem]) -> PackedList[Candidate]:
    """Read which answer to which query every row proposes."""
    problems += [
        row.problem("expected an entity of a query, found a text alone")
        for row in file.rows
        if CANDIDATE not in row.columns
    ]
    found = (row.columns[CANDIDATE] for row in file.rows if CANDIDATE in row.columns)
    return PackedList(Candidate(one["query"], one["text"], tuple(one["accepted"])) for one in found)


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
    """Choose so many rows at random; of queries, all rows of as many as have so many rows."""
    if max_rows is None or max_rows >= len(examples):
        return examples
    generator = np.random.default_rng(SPLIT_SEED)
    if not examples.candidates:
        return examples.take(np.sort(generator.permutation(len(examples))[:max_rows]))
    units = examples.units()
    chosen: list[int] = []
    for unit in generator.permutation(len(units)).tolist():
        if len(chosen) >= max_rows:
            break
        chosen += units[unit]
    return examples.take(sorted(chosen))


def _digest(files: Iterable[RowFile]) -> str:
    """Identify a task's data: the sha256 of its files' digests, in order."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
