"""CanaryCounts: the bounded counters of one canary, and its bounds."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Final, Self

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

    def add(self, other: "VersionCounts") -> None:
        """Add what was counted elsewhere."""
        self.num_answered += other.num_answered
        self.num_failed += other.num_failed
        self.answer_seconds += other.answer_seconds
        self.num_shadows += other.num_shadows
        self.shadow_seconds += other.shadow_seconds


@dataclass(slots=True)
class CanaryCounts:
    """Everything that is counted about one canary, since its start or since the last write.

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
        if labels is not None:
            self._add_pair(labels, 1)

    def of(self, *, is_canary: bool) -> VersionCounts:
        """Return the counts of one of the two versions."""
        return self.canary if is_canary else self.stable

    def add(self, other: "CanaryCounts") -> None:
        """Add what was counted elsewhere, or at another time."""
        self.stable.add(other.stable)
        self.canary.add(other.canary)
        self.num_compared += other.num_compared
        self.num_agreed += other.num_agreed
        self.num_dropped += other.num_dropped
        self.num_other_pairs += other.num_other_pairs
        for pair, number in other.labels.items():
            self._add_pair(pair, number)

    def to_json(self) -> str:
        """Write the counts for the registry, which stores them as they are."""
        labels = [[*pair, number] for pair, number in self.labels.items()]
        return json.dumps({**asdict(self), "labels": labels})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        found = json.loads(text)
        for name in ("stable", "canary"):
            found[name] = VersionCounts(**found[name])
        found["labels"] = Counter({(old, new): number for old, new, number in found["labels"]})
        return cls(**found)

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

    def _add_pair(self, pair: tuple[str, str], number: int) -> None:
        if pair in self.labels or len(self.labels) < _MAX_PAIRS:
            self.labels[pair] += number
        else:
            self.num_other_pairs += number

    @property
    def _num_asked(self) -> int:
        counts = self.canary
        return counts.num_answered + counts.num_failed + counts.num_shadows


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
