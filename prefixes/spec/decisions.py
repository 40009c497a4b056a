"""Decisions: the rules by which scores become answers."""

from typing import Annotated

from prefixes.spec.hierarchy import Hierarchy
from prefixes.spec.long_texts import LongTexts
from prefixes.spec.parts import MAX_LABELS, Threshold
from prefixes.spec.rejection import Rejection
from prefixes.spec.statistics import AnswerStatistics
from prefixes.values import Value, at_most


class Decisions(Value):
    """The rules of a task that turn scores into an answer; none changes the score of a short text.

    `thresholds` has one probability per label of a single-label task: a label whose probability is
    below its threshold is not answered. The thresholds of a multi-label task are a field of the
    description itself, because version 0.1.0 knows them. `min_score` is the minimum probability of
    an answer, whichever its label. Without `long_texts`, only the beginning of a text that is too
    long is read. With a `hierarchy`, an answer may be a parent of labels. `rejection` is the rule
    for texts that belong to no label. `reference` has the statistics of the validation rows, with
    which those of later texts are compared.
    """

    thresholds: Annotated[tuple[Threshold, ...] | None, at_most(MAX_LABELS)] = None
    min_score: Threshold | None = None
    hierarchy: Hierarchy | None = None
    rejection: Rejection | None = None
    long_texts: LongTexts | None = None
    reference: AnswerStatistics | None = None

    @property
    def has_rules(self) -> bool:
        """Whether an answer may be another one than the label with the highest score."""
        rules = (self.thresholds, self.min_score, self.hierarchy, self.rejection)
        return any(one is not None for one in rules)
