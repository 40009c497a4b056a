"""Loads the rows of all tasks of a plan. Each file is read once."""

from collections.abc import Sequence
from typing import Final

from training.data.parts import load_task
from training.errors import DataProblem, DataRejected
from training.examples import TaskData
from training.settings.config import TrainConfig

DATA_FIELDS: Final = (
    "dataset",
    "task_type",
    "train",
    "validation",
    "test",
    "feedback",
    "unlabeled",
    "validation_fraction",
    "max_rows",
    "max_validation_rows",
    "max_test_rows",
    "text_column",
    "pair_column",
    "label_column",
    "label_separator",
    "label_columns",
    "labels",
    "problem_type",
    "class_weights",
    "snap_to_words",
    "template",
    "pair_template",
)
"""The settings that determine the rows."""

_STEP_FIELDS: Final = (
    *("batch_size", "unlabeled_batch_size", "gradient_accumulation"),
    *("epochs", "min_steps", "max_steps"),
)
"""The settings that determine how many unlabeled rows a training uses."""


def load_all(configs: Sequence[TrainConfig]) -> list[TaskData]:
    """Read the files of all tasks. Files of several runs are read once.

    Raises:
        DataRejected: with the problems of all files.
    """
    loaded: dict[str, TaskData] = {}
    problems: dict[DataProblem, None] = {}
    keys = [config.model_dump_json(include=_fields_of_rows(config)) for config in configs]
    for key, config in zip(keys, configs, strict=True):
        if key not in loaded:
            try:
                loaded[key] = load_task(config)
            except DataRejected as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise DataRejected(tuple(problems))
    return [loaded[key] for key in keys]


def _fields_of_rows(config: TrainConfig) -> set[str]:
    return {*DATA_FIELDS, *(() if config.unlabeled is None else _STEP_FIELDS)}
