"""Reads rows without labels, which a teacher answers."""

from collections.abc import Hashable, Mapping
from typing import Any

from training.data.reading import read_inputs, read_part, reject
from training.data.split import sample
from training.errors import DataProblem
from training.examples import Examples, Layout
from training.files.packed import PackedList
from training.files.rows import RowFile
from training.settings.config import TrainConfig
from training.tasks import TaskDefinition
from training.tasks.losses import IGNORED
from training.tasks.phrases import texts


def read_unlabeled(config: TrainConfig) -> RowFile | None:
    """Read the file of unlabeled rows, if there is one."""
    if config.unlabeled is None:
        return None
    return read_part(config.unlabeled, None, config.task_type, config.columns)


def unlabeled_examples(
    definition: TaskDefinition[Any],
    layout: Layout,
    config: TrainConfig,
    file: RowFile,
    labeled: Mapping[str, Examples[Any]],
) -> Examples[Any]:
    """Choose the unlabeled rows that the steps of a training use.

    Rows with the words of a validation or test row are left out: the figures would otherwise be
    measured on texts that were trained on. Labels in the file are ignored.

    Raises:
        DataRejected: with every problem of the file.
    """
    problems: list[DataProblem] = list(file.problems)
    inputs = read_inputs(definition, layout, file, problems)
    if not problems and not inputs:
        problems.append(DataProblem(file.path, None, "expected rows, found none"))
    reject(problems)
    held_out = _words_of_held_out_rows(definition, labeled)
    found = Examples(inputs, PackedList([IGNORED] * len(inputs)), (), file.path, file.rows.lines)
    kept = [n for n, fields in enumerate(inputs) if definition.group(fields) not in held_out]
    if not kept:
        problem = "every row is also a validation or test row: expected others"
        reject([DataProblem(file.path, None, problem)])
    return sample(found.take(kept), _num_used(config, len(labeled["train"])))


def unlabeled_summary(layout: Layout, file: RowFile, used: Examples[Any]) -> str:
    """Describe the file and the role of its columns in one sentence."""
    total = len(file.rows)
    size = f"{len(used):,} of {total:,}" if len(used) < total else f"{total:,}"
    rows = "row" if total == 1 else "rows"
    return "; ".join([f"unlabeled: {size} {rows} of {file.path.name}", *texts(layout)])


def _num_used(config: TrainConfig, num_labeled: int) -> int:
    return config.num_steps(num_labeled) * config.unlabeled_per_step


def _words_of_held_out_rows(
    definition: TaskDefinition[Any], labeled: Mapping[str, Examples[Any]]
) -> set[Hashable]:
    parts = [labeled[name] for name in ("validation", "test") if name in labeled]
    return {definition.group(fields) for part in parts for fields in part.inputs}
