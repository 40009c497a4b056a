"""CanaryCounts: the bounded counters of one canary, and its bounds."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from prefixes.registry import CanaryPlan
from server.batching.timings import Timings

_MAX_PAIRS: Final = 1000
"""Maximum number of pairs of labels that are counted apart. Further ones count together."""


@dataclass(slots=True)
class VersionCounts:
    """The answers of one version: to callers, and in the shadow of the other version."""

    num_answered: int = 0
    num_failed: int = 0
    answer_seconds: float = 0.0
    num_shadows: int = 0
    shadow_seconds: float = 0.0

    def answered(self, timings: Timings) -> None:
        """Count an answer to a caller, with its time in the queue and on the device."""
        self.num_answered += 1
        self.answer_seconds += timings.queue_seconds + timings.device_seconds

    def shadowed(self, timings: Timings) -> None:
        """Count an answer that nobody gets, with its time on the device."""
        self.num_shadows += 1
        self.shadow_seconds += timings.device_seconds


@dataclass(slots=True)
class CanaryCounts:
    """Everything that is counted about one canary since it was started, or since the server was.

    `labels` counts pairs of the stable version's label and the canary's. A shadow is dropped when
    the server is busy.
    """

    stable: VersionCounts = field(default_factory=VersionCounts)
    canary: VersionCounts = field(default_factory=VersionCounts)
    num_compared: int = 0
    num_agreed: int = 0
    num_dropped: int = 0
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    num_other_pairs: int = 0

    def compared(self, *, is_equal: bool, labels: tuple[str, str] | None) -> None:
        """Count a comparison, and the labels if the task gives one to each text."""
        self.num_compared += 1
        self.num_agreed += is_equal
        if labels is None:
            return
        if labels in self.labels or len(self.labels) < _MAX_PAIRS:
            self.labels[labels] += 1
        else:
            self.num_other_pairs += 1

    @property
    def error_percent(self) -> float:
        """The share of inputs on which the canary failed, of those that it was asked."""
        return _percent(self.canary.num_failed, self._num_asked)

    @property
    def disagreement_percent(self) -> float:
        """The share of comparisons with different answers."""
        return _percent(self.num_compared - self.num_agreed, self.num_compared)

    def excess(self, plan: CanaryPlan) -> str | None:
        """Describe the bound that the canary exceeds; None if it meets all of them.

        A bound applies once `min_samples` inputs were counted.
        """
        for name, found, bound, number in (
            ("error", self.error_percent, plan.max_error_percent, self._num_asked),
            (
                "disagreement",
                self.disagreement_percent,
                plan.max_disagreement_percent,
                self.num_compared,
            ),
        ):
            if bound is not None and number >= plan.min_samples and found > bound:
                return (
                    f"{name} on {found:.4g} % of {number} inputs, allowed are at most {bound:g} %"
                )
        return None

    @property
    def _num_asked(self) -> int:
        counts = self.canary
        return counts.num_answered + counts.num_failed + counts.num_shadows


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
