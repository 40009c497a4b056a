"""Hold out a share of the rows, the same on every run, without parting what belongs together."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from training.examples import Examples
from training.tasks import TaskKind

SPLIT_SEED: Final = 0
"""Fixed, so that runs that differ in their seed are measured on the same rows."""

_HALF: Final = 8
"""Bytes of a digest that one number is made of."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that stay together, in order, and two numbers of their own.

    `turn` orders groups, `shift` is between 0 and 1; both are hashes of what the rows have in
    common, and stay what they are when other rows come and go.
    """

    rows: list[int]
    turn: int
    shift: float


def split(
    kind: TaskKind[Any], examples: Examples[Any], fraction: float
) -> tuple[Examples[Any], Examples[Any]]:
    """Hold out a share of the rows, with every label in proportion.

    Rows of one group, as those of the same input or query, stay on one side; where all rows are
    one group, they are parted all the same. Hashes of what groups have in common choose among
    those of which the same is true, so that rows which are added later leave nearly all of the
    part as it was: an older prefix was hardly trained on what a newer one is measured on.
    """
    queries: list[Hashable] = [candidate.query for candidate in examples.candidates]
    groups = _groups(queries or [kind.group(fields) for fields in examples.inputs])
    strata: dict[Hashable, list[_Group]] = {}
    for group in groups:
        strata.setdefault(kind.stratum(examples.truths[group.rows[0]]), []).append(group)
    placed = [pair for stratum in strata.values() for pair in _places(stratum)]
    in_turn = [group for _, group in sorted(placed, key=lambda pair: pair[0])]
    wanted = max(1, round(len(examples) * fraction))
    held_out = np.sort(np.array(_chosen(in_turn, wanted)))
    rest = np.setdiff1d(np.arange(len(examples)), held_out)
    return examples.take(rest), examples.take(held_out)


def _groups(keys: Sequence[Hashable]) -> list[_Group]:
    rows_of: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    if len(rows_of) == 1:
        rows_of = {row: [row] for row in range(len(keys))}
    return [_group(key, rows) for key, rows in rows_of.items()]


def _group(key: Hashable, rows: list[int]) -> _Group:
    digest = hashlib.blake2b(repr((SPLIT_SEED, key)).encode(), digest_size=2 * _HALF).digest()
    turn, shift = (int.from_bytes(half) for half in (digest[:_HALF], digest[_HALF:]))
    return _Group(rows, turn, shift / 256**_HALF)


def _places(stratum: Sequence[_Group]) -> Iterator[tuple[float, _Group]]:
    """Spread groups evenly from 0 to 1, in turn: as large a share of every stratum is below x.

    Each is somewhere within its stretch, for a stratum of a few groups has its share only in the
    mean over many such.
    """
    for number, group in enumerate(sorted(stratum, key=lambda one: one.turn)):
        yield (number + group.shift) / len(stratum), group


def _chosen(groups: Sequence[_Group], wanted: int) -> list[int]:
    """Choose groups that come to the rows that are wanted, or the smallest where none does."""
    chosen: list[int] = []
    for group in groups:
        if len(chosen) + len(group.rows) <= wanted:
            chosen += group.rows
    return chosen or min((group.rows for group in groups), key=len)
