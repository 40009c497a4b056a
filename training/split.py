"""Hold out a share of the rows, the same on every run, without parting what belongs together."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.examples import Examples
from training.tasks import TaskKind

SPLIT_SEED: Final = 0
"""Fixed, so that runs that differ in their seed are measured on the same rows."""


def split(
    kind: TaskKind[Any], examples: Examples[Any], fraction: float
) -> tuple[Examples[Any], Examples[Any]]:
    """Hold out a share of the rows, with every label in proportion.

    Rows of one group, as those of the same input or query, stay on one side. Groups in random
    order, then sorted by what is true of their first row, of which every n-th is taken while it
    fits; others fill up what is left. Where all rows are one group, they are parted all the same.
    """
    random = np.random.default_rng(SPLIT_SEED)
    shuffled = random.permutation(len(examples)).tolist()
    queries: list[Hashable] = [candidate.query for candidate in examples.candidates]
    keys = queries or [kind.group(fields) for fields in examples.inputs]
    groups = _groups(keys, shuffled)
    groups.sort(key=lambda rows: kind.stratum(examples.truths[rows[0]]))
    wanted = max(1, round(len(examples) * fraction))
    held_out = np.sort(np.array(_chosen(groups, wanted, fraction, random)))
    rest = np.setdiff1d(np.arange(len(examples)), held_out)
    return examples.take(rest), examples.take(held_out)


def _groups(keys: Sequence[Hashable], order: Sequence[int]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for row in order:
        groups.setdefault(keys[row], []).append(row)
    return list(groups.values()) if len(groups) > 1 else [[row] for row in order]


def _chosen(
    groups: Sequence[list[int]], wanted: int, fraction: float, random: np.random.Generator
) -> list[int]:
    """Choose groups that come to the rows that are wanted, or the smallest where none does."""
    chosen: list[int] = []
    for place in _visits(len(groups), fraction, random):
        if len(chosen) + len(groups[place]) <= wanted:
            chosen += groups[place]
    return chosen or min(groups, key=len)


def _visits(num_groups: int, fraction: float, random: np.random.Generator) -> Iterator[int]:
    """Visit places that are spread evenly, then all others; both in random order."""
    count = max(1, round(num_groups * fraction))
    places = np.linspace(0, num_groups - 1, count + 2)[1:-1].round().astype(np.int64)
    others: NDArray[np.int64] = np.setdiff1d(np.arange(num_groups), places)
    yield from random.permutation(places).tolist()
    yield from random.permutation(others).tolist()
