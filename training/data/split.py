"""Splits off validation rows and takes samples, the same ones on every run."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from training.examples import Examples
from training.tasks import TaskDefinition

SPLIT_SEED: Final = 0
"""Fixed, so that runs with different seeds are measured on the same rows."""

_HALF: Final = 8
"""Bytes of a digest per number."""


Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Rows that stay together, as arrays. An object per row would take too much memory.

    `rows` lists the rows of all groups; each group begins at its entry of `starts`. `turns` order
    the groups, and `shifts` are between 0 and 1. Both are hashes of the key of a group, so they do
    not change when other rows are added or removed.
    """

    rows: Ints
    starts: Ints
    turns: NDArray[np.uint64]
    shifts: NDArray[np.float64]

    @classmethod
    def of(cls, num_rows: int, key: Callable[[int], Hashable]) -> Self:
        """Group rows by a key. If all rows have the same key, each is a group of its own."""
        keys = np.fromiter((hash(key(row)) for row in range(num_rows)), np.int64, num_rows)
        if num_rows and (keys == keys[0]).all():
            key, keys = int, np.arange(num_rows)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] - 1))
        turns = np.empty(len(starts), np.uint64)
        shifts = np.empty(len(starts))
        for group, row in enumerate(order[starts].tolist()):
            turns[group], shifts[group] = _numbers_of(key(row))
        return cls(order, starts, turns, shifts)

    @property
    def firsts(self) -> Ints:
        return self.rows[self.starts]

    @property
    def sizes(self) -> Ints:
        return np.diff(self.starts, append=len(self.rows))

    def rows_of(self, groups: Sequence[int]) -> Ints:
        """Return the rows of some groups, in order."""
        ends = self.starts + self.sizes
        parts = [self.rows[self.starts[group] : ends[group]] for group in groups]
        return np.sort(np.concatenate(parts))


def split(
    definition: TaskDefinition[Any], examples: Examples[Any], fraction: float
) -> tuple[Examples[Any], Examples[Any]]:
    """Split off a share of the rows, with every label in proportion.

    Rows of one group, such as those of the same input or query, stay on one side, unless all rows
    are one group. A hash of each group's content chooses among equivalent groups, so the part stays
    nearly the same when rows are added. A live prefix is then hardly measured on rows that it was
    trained on.
    """

    def key(row: int) -> Hashable:
        if examples.candidates:
            return examples.candidates[row].query
        return definition.group(examples.inputs[row])

    groups = _Groups.of(len(examples), key)
    truths = (examples.truths[row] for row in groups.firsts.tolist())
    strata = np.fromiter((hash(definition.stratum(truth)) for truth in truths), np.int64)
    wanted = max(1, round(len(examples) * fraction))
    held_out = groups.rows_of(_chosen(np.argsort(_places(groups, strata)), groups.sizes, wanted))
    rest = np.setdiff1d(np.arange(len(examples)), held_out)
    return examples.take(rest), examples.take(held_out)


def sample(examples: Examples[Any], max_rows: int | None) -> Examples[Any]:
    """Choose `max_rows` rows at random. Rows of one query are chosen together."""
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


def _numbers_of(key: Hashable) -> tuple[int, float]:
    digest = hashlib.blake2b(repr((SPLIT_SEED, key)).encode(), digest_size=2 * _HALF).digest()
    turn, shift = (int.from_bytes(half) for half in (digest[:_HALF], digest[_HALF:]))
    return turn, shift / 256**_HALF


def _places(groups: _Groups, strata: Ints) -> NDArray[np.float64]:
    """Spread the groups of every stratum evenly from 0 to 1, so that any cut is proportional.

    Each group is at a random position within its interval. So small strata get their share on
    average over many strata.
    """
    order = np.lexsort((groups.turns, strata))
    _, starts, stratum_of, counts = np.unique(
        strata[order], return_index=True, return_inverse=True, return_counts=True
    )
    numbers = np.arange(len(order)) - starts[stratum_of]
    places = np.empty(len(order))
    places[order] = (numbers + groups.shifts[order]) / counts[stratum_of]
    return places


def _chosen(in_turn: Ints, sizes: Ints, wanted: int) -> list[int]:
    """Choose groups with at most `wanted` rows in total, or else the smallest group."""
    chosen: list[int] = []
    num_rows = 0
    for group in in_turn.tolist():
        if num_rows + sizes[group] <= wanted:
            chosen.append(group)
            num_rows += int(sizes[group])
    return chosen or [int(in_turn[np.argmin(sizes[in_turn])])]
