"""Loads the rows of a task: reads all files, checks them before training, and splits them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from prefixes import PrefixSpec
from training.data.feedback import feedback_layout, with_feedback
from training.data.layouts import dataset_of, known_layout, layout_of
from training.data.reading import read_examples, read_inputs, read_part, reject
from training.data.row_warnings import Part, row_warnings, validation_warnings
from training.data.spelling_warnings import label_warnings, text_warnings
from training.data.split import sample, split
from training.data.summary import summaries
from training.data.unlabeled import read_unlabeled, unlabeled_examples, unlabeled_summary
from training.errors import DataProblem, PlanRejected
from training.examples import Columns, Examples, Input, Layout, TaskData
from training.files.packed import PackedList
from training.files.rows import RowFile
from training.settings.config import TrainConfig
from training.settings.defaults import QUERY_METRICS
from training.sources import Source
from training.tasks import TaskDefinition, definition_of
from training.tasks.entity_scores import has_roles

_ALL_SPLIT_OFF: Final = (
    "no row is left to train on, because one text is split off for validation: expected rows with "
    "two or more different texts (contexts for question answering), or a file for validation"
)


def load_task(config: TrainConfig) -> TaskData:
    """Read and check all files of a task. Without a validation file, split off a part.

    Raises:
        DataRejected: with every problem of every file.
        PlanRejected: if the rows cannot be measured by the metric that selects the best step.
    """
    files = read_files(config)
    definition = definition_of(config.task_type)
    layout = layout_of(definition, config, list(files.values()))
    feedback = read_feedback(config)
    if feedback is not None and config.labels is None:
        layout = replace(layout, labels=feedback_layout(definition, layout, feedback).labels)
    parts = _parts(definition, layout, files)
    check_metric(config, layout)
    examples = {name: part.examples for name, part in parts.items()}
    if feedback is not None:
        files["feedback"] = feedback
        examples["train"] = with_feedback(definition, layout, feedback, **examples)
    if "validation" not in examples:
        examples["train"], examples["validation"] = split(
            definition, examples["train"], config.validation_fraction
        )
        if not examples["train"]:
            reject([DataProblem(files["train"].path, None, _ALL_SPLIT_OFF)])
    train = sample(examples["train"], config.max_rows)
    validation = sample(examples["validation"], config.max_validation_rows)
    tested = examples.get("test")
    test = None if tested is None else sample(tested, config.max_test_rows)
    used = {"train": train, "validation": validation, **({} if test is None else {"test": test})}
    summary = list(summaries(definition, layout, config.dataset, files, used))
    file, unlabeled = read_unlabeled(config), None
    if file is not None:
        files["unlabeled"] = file
        unlabeled = unlabeled_examples(definition, layout, config, file, used)
        summary.append(unlabeled_summary(layout, file, unlabeled))
    return TaskData(
        labels=layout.labels,
        template=layout.template,
        train=train,
        validation=validation,
        test=test,
        unlabeled=unlabeled,
        sha256=digest_of(files.values()),
        warnings=(
            *_warnings(definition, layout, config, parts),
            *validation_warnings(definition, layout.labels, train, validation),
        ),
        summary=tuple(summary),
    )


def read_files(config: TrainConfig) -> dict[str, RowFile]:
    """Read the file of each part that has one."""
    sources = {"train": config.train, "validation": config.validation, "test": config.test}
    return {
        name: read_part(source, config.dataset, config.task_type, config.columns)
        for name, source in sources.items()
        if source is not None
    }


def read_feedback(config: TrainConfig) -> RowFile | None:
    """Read the rows of feedback, whose columns have their usual names."""
    if config.feedback is None:
        return None
    return read_part(config.feedback, None, config.task_type)


def _parts(
    definition: TaskDefinition[Any], layout: Layout, files: Mapping[str, RowFile]
) -> dict[str, Part]:
    """Read the examples of all files.

    Raises:
        DataRejected: with every problem of every file.
    """
    problems: list[DataProblem] = []
    parts = {
        name: Part(file, read_examples(definition, layout, file, problems))
        for name, file in files.items()
    }
    train = parts["train"]
    objection = None if problems else definition.objection(train.examples.truths)
    if objection is not None:
        problems.append(DataProblem(train.file.path, None, objection))
    reject(problems)
    return parts


def _warnings(
    definition: TaskDefinition[Any], layout: Layout, config: TrainConfig, parts: Mapping[str, Part]
) -> Iterator[str]:
    train, *others = parts.values()
    for warning in definition.row_warnings(layout, train.file.rows):
        yield f"{train.name}: {warning}"
    yield from label_warnings(definition, layout, train)
    for part in parts.values():
        yield from text_warnings(part)
    yield from row_warnings(definition, layout.labels, train, others, remedy=_remedy(config))


def load_examples(source: Source, spec: PrefixSpec, columns: Columns) -> Examples[Any]:
    """Read labeled rows for a finished prefix.

    Raises:
        PlanRejected: if more columns are named than the task has texts.
        DataRejected: with every problem of the file.
    """
    file = read_part(source, dataset_of(spec, columns), spec.task_type, columns)
    definition, layout = definition_of(spec.task_type), known_layout(spec, columns, file)
    problems: list[DataProblem] = []
    examples = read_examples(definition, layout, file, problems)
    reject(problems)
    return examples


def load_inputs(source: Source, spec: PrefixSpec, columns: Columns) -> PackedList[Input]:
    """Read the texts of a file, labeled or not.

    Raises:
        PlanRejected: as `load_examples`.
        DataRejected: with every problem of the file.
    """
    file = read_part(source, dataset_of(spec, columns), spec.task_type, columns)
    definition, layout = definition_of(spec.task_type), known_layout(spec, columns, file)
    problems = list(file.problems)
    inputs = read_inputs(definition, layout, file, problems)
    reject(problems)
    return inputs


def check_metric(config: TrainConfig, layout: Layout) -> None:
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


def _remedy(config: TrainConfig) -> str | None:
    """Return advice against rare labels, None if their weights are balanced."""
    if config.class_weights == "balanced":
        return None
    more = "more rows of what is rare"
    has_weights = config.task_type == "sequence_classification"
    return f"class_weights = balanced, or {more}" if has_weights else more


def digest_of(files: Iterable[RowFile]) -> str:
    """Return the sha256 of the digests of all files, in order."""
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
