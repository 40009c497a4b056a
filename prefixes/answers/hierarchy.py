"""Trees of labels: the names and the logits of each level.

The probability of a parent in a single-label task is the sum of those of its leaves, so its logit
is the logarithm of the sum of their exponentials. In a multi-label task, it is the highest of its
leaves: they do not exclude each other, and a combination as if they were independent would rate any
parent of many leaves highly.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import Logits, Scores
from prefixes.spec import Hierarchy, PrefixSpec, path_of


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One level of a tree: the names of its N nodes, and the node of each of C leaves.

    A leaf that lies higher than the level is a node of the level itself.
    """

    names: tuple[str, ...]
    node_of: NDArray[np.intp]  # [C]

    def logits(self, leaves: Logits, *, are_exclusive: bool) -> Scores:
        """Combine the logits `[..., C]` of leaves to those of nodes, `[..., N]`."""
        combine = np.logaddexp if are_exclusive else np.maximum
        nodes = np.full((len(self.names), *leaves.shape[:-1]), -np.inf)
        combine.at(nodes, self.node_of, np.moveaxis(leaves.astype(np.float64), -1, 0))
        return np.moveaxis(nodes, 0, -1)

    def lowest(self, thresholds: Scores) -> Scores:
        """Return the lowest threshold `[N]` of the leaves of each node."""
        nodes = np.full(len(self.names), np.inf)
        np.minimum.at(nodes, self.node_of, thresholds)
        return nodes


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The paths of labels from the top, and the levels from the top to the leaves."""

    paths: dict[str, tuple[str, ...]]
    levels: tuple[Level, ...]

    @property
    def depth(self) -> int:
        return len(self.levels)


def tree_of(spec: PrefixSpec) -> Tree | None:
    """Return the tree of a task: that of its file, or else that of labels with `/`, if any."""
    own = None if spec.decisions is None else spec.decisions.hierarchy
    found = own or _of_labels(spec.labels)
    return None if found is None else _tree(spec.labels, tuple(found.parents.items()))


def is_within(spec: PrefixSpec, label: str, answer: str) -> bool:
    """Return whether a label is an answer or lies below it in the tree of a task's file."""
    own = None if spec.decisions is None else spec.decisions.hierarchy
    return label == answer if own is None else answer in path_of(label, own.parents)


@lru_cache(maxsize=256)
def _of_labels(labels: tuple[str, ...]) -> Hierarchy | None:
    return Hierarchy.of_labels(labels)


@lru_cache(maxsize=256)
def _tree(labels: tuple[str, ...], parents: tuple[tuple[str, str], ...]) -> Tree:
    leaves = [path_of(label, dict(parents)) for label in labels]
    paths = {name: path[: place + 1] for path in leaves for place, name in enumerate(path)}
    return Tree(
        paths, tuple(_level(leaves, number) for number in range(1, max(map(len, leaves)) + 1))
    )


def _level(leaves: list[tuple[str, ...]], number: int) -> Level:
    names = [path[min(number, len(path)) - 1] for path in leaves]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return Level(tuple(places), np.array([places[name] for name in names]))
