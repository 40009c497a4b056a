"""Hierarchies: the tree over the labels of a task, and metrics of its levels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from prefixes import PrefixSpec
from prefixes.answers import DEFAULT_THRESHOLD, Tree, sigmoid
from prefixes.spec import Hierarchy
from training.errors import PlanRejected
from training.settings.config import TrainConfig


def hierarchy_over(config: TrainConfig, labels: Sequence[str]) -> Hierarchy:
    """Return the tree over the labels that the settings describe.

    Raises:
        PlanRejected: when they do not describe a tree over these labels.
    """
    if isinstance(config.hierarchy, dict):
        found: Hierarchy | None = Hierarchy(parents=config.hierarchy)
    else:
        found = Hierarchy.of_labels(labels)
    if found is None:
        raise PlanRejected(
            "hierarchy: no label has a parent, because none has a / between two names: rename the "
            "labels, or give the parent of each label"
        )
    problems = found.problems(tuple(labels))
    if problems:
        raise PlanRejected("; ".join(problems))
    return found


def level_metrics(
    spec: PrefixSpec, tree: Tree, logits: NDArray[np.floating[Any]], targets: NDArray[Any]
) -> dict[str, float]:
    """Measure the levels of a hierarchy above the labels: the best parent, or all parents.

    Args:
        spec: description of the task.
        tree: its tree.
        logits: `[n, C]`.
        targets: label numbers `[n]` of a single label, else `[n, C]`.
    """
    found: dict[str, float] = {}
    is_multi = spec.problem_type == "multi_label_classification"
    thresholds = np.full(spec.num_labels, DEFAULT_THRESHOLD)
    if spec.thresholds is not None:
        thresholds[:] = spec.thresholds
    for number, level in enumerate(tree.levels[:-1], start=1):
        nodes = level.logits(logits, are_exclusive=not is_multi)
        truths: NDArray[Any]
        if is_multi:
            truths = np.zeros(nodes.shape, dtype=bool)
            rows, labels = np.nonzero(targets)
            truths[rows, level.node_of[labels]] = True
            predicted = sigmoid(nodes) >= level.lowest(thresholds)
            found[f"level_{number}_micro_f1"] = _f1(truths, predicted, "micro")
        else:
            truths, predicted = level.node_of[targets], nodes.argmax(axis=1)
            found[f"level_{number}_accuracy"] = float(accuracy_score(truths, predicted))
        found[f"level_{number}_macro_f1"] = _f1(truths, predicted, "macro")
    return found


def _f1(truths: NDArray[Any], predicted: NDArray[Any], average: str) -> float:
    return float(f1_score(truths, predicted, average=average, zero_division=0))
