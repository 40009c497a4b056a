"""Reads the rows of a plan, and chooses between a few-shot head and training."""

from typing import Final

from training.data.few_rows import load_few_rows
from training.data.loading import load_all
from training.errors import DataRejected
from training.examples import TaskData
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan

ROWS_TO_TRAIN: Final = 16
"""Mean number of rows per label from which training is more accurate (`bench.few_rows`)."""


def load_rows(plan: TrainPlan, *, may_choose: bool = True) -> tuple[TrainPlan, list[TaskData]]:
    """Read the rows of a plan, and choose the method of a single run that leaves it open.

    Such a run has no setting that says how to learn. With few rows it gets the method `few_shot`.
    Without `may_choose`, it is trained: a training that is resumed stays one.

    Raises:
        DataRejected: with the problems of all files.
    """
    if plan.is_few_shot:
        return plan, [load_few_rows(config) for config in plan.runs]
    if not may_choose or not _leaves_method_open(plan):
        return plan, load_all(plan.runs)
    config = plan.runs[0].model_copy(update={"method": "few_shot", "prefix_length": 0})
    try:
        data = load_all(plan.runs)
        few = load_few_rows(config) if _is_few(config, data[0]) else None
    except DataRejected:
        few = load_few_rows(config)  # which accepts rows that all have the same label
        if not _is_few(config, few):
            raise
    if few is None:
        return plan, data
    return plan.model_copy(update={"runs": (config,)}), [few]


def _leaves_method_open(plan: TrainPlan) -> bool:
    is_single = len(plan.runs) == 1 and plan.sweep is None and plan.multitask is None
    return is_single and plan.runs[0].leaves_method_open


def _is_few(config: TrainConfig, data: TaskData) -> bool:
    """Return whether there are few rows to learn from, with those that training would hold out."""
    rows = len(data.train) + (0 if config.validation else len(data.validation))
    return rows < ROWS_TO_TRAIN * len(data.labels)
