"""The datasets of P-tuning v2 by name: `superglue/rte`, `glue/cola`, `qa/squad`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from training.datasets.answering import ANSWERING
from training.datasets.dataset import CANDIDATE, Dataset
from training.datasets.glue import GLUE
from training.datasets.superglue import SUPERGLUE
from training.datasets.tagging import TAGGING
from training.errors import PlanRejected

__all__ = ["CANDIDATE", "DATASETS", "Dataset", "dataset_named"]

DATASETS: Final[Mapping[str, Dataset]] = MappingProxyType(
    {one.name: one for one in (*SUPERGLUE, *GLUE, *TAGGING, *ANSWERING)}
)
"""All datasets by FAMILY/NAME, the original's `--task_name` and `--dataset_name`."""


def dataset_named(name: str) -> Dataset:
    """Return a dataset by its name.

    Raises:
        PlanRejected: when no data set has this name.
    """
    if name not in DATASETS:
        raise PlanRejected(f"There is no dataset {name!r:.80}: expected {', '.join(DATASETS)}")
    return DATASETS[name]
