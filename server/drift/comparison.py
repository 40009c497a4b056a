"""Comparison of the statistics of a version's answers with those of its validation rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prefixes.answers.statistics import stability_index
from prefixes.spec.statistics import STATISTICS, AnswerStatistics

MIN_TEXTS: Final = 100
"""With fewer texts, no statistic counts as drifted."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The drift of one statistic.

    `index` is its population stability index. `by_chance` is what 95 % of samples of this size stay
    below if nothing changed. It has drifted if the index exceeds this as well as the bound.
    """

    statistic: str
    index: float
    by_chance: float
    has_drifted: bool


def drifts_of(
    reference: AnswerStatistics, found: AnswerStatistics, *, bound: float
) -> Iterator[Drift]:
    """Compare each statistic that the task has."""
    for name in STATISTICS:
        expected = getattr(reference, name)
        if not expected:
            continue
        index, by_chance = stability_index(expected, getattr(found, name))
        has_drifted = found.texts >= MIN_TEXTS and index > max(bound, by_chance)
        yield Drift(name, index, by_chance, has_drifted)
