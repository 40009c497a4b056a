"""AnswerStatistics: how often each kind of text and answer occurred, without any text."""

from typing import Annotated, Final, Self

from pydantic import FailFast, Field, model_validator

from prefixes.spec.parts import MAX_LABELS
from prefixes.values import Value, at_most

NUM_SCORES: Final = 10
NUM_LENGTHS: Final = 36
UNKNOWN_BOUNDS: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25)
"""Upper bounds of the bins of the share of unknown tokens; the last bin is above all of them."""

Count = Annotated[int, Field(ge=0, le=2**53)]
_Counts = Annotated[tuple[Count, ...], FailFast()]
STATISTICS: Final = ("labels", "scores", "lengths", "unknown")


class AnswerStatistics(Value):
    """Histograms of the texts of a task and of their answers.

    `labels` has a bin for each label, and a last one for texts without a label. `scores` is the
    probability of the most probable label, in ten bins of the same width. Both are empty for tasks
    without labels of texts. `lengths` is the number of tokens: bin n begins at 2 ** (n / 2).
    `unknown` is the share of unknown tokens, with the upper bounds `UNKNOWN_BOUNDS`.
    """

    texts: Count
    labels: Annotated[_Counts, at_most(MAX_LABELS + 1)] = ()
    scores: Annotated[_Counts, at_most(NUM_SCORES)] = ()
    lengths: Annotated[_Counts, at_most(NUM_LENGTHS)]
    unknown: Annotated[_Counts, at_most(len(UNKNOWN_BOUNDS) + 1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, expected in (
            ("scores", NUM_SCORES if self.labels else 0),
            ("lengths", NUM_LENGTHS),
            ("unknown", len(UNKNOWN_BOUNDS) + 1),
        ):
            if (found := len(getattr(self, name))) != expected:
                raise ValueError(f"{name} must have {expected} bins, found {found}")
        return self

    def __add__(self, other: Self) -> Self:
        """Add the counts of the same task."""
        sums = {
            name: tuple(map(sum, zip(getattr(self, name), getattr(other, name), strict=True)))
            for name in STATISTICS
        }
        return type(self)(texts=self.texts + other.texts, **sums)
