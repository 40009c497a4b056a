"""The counters of a canary, and when it exceeds a bound."""

import pytest

from prefixes.registry import CanaryPlan
from server.batching.timings import Timings
from server.engine.canaries import counts as module
from server.engine.canaries.counts import CanaryCounts

TIMINGS = Timings(0.25, 0.5)


def counted(*, answered: int = 0, failed: int = 0, agreed: int = 0, other: int = 0) -> CanaryCounts:
    counts = CanaryCounts()
    for _ in range(answered):
        counts.canary.answered(TIMINGS)
    counts.canary.num_failed = failed
    for is_equal in [True] * agreed + [False] * other:
        counts.compared(is_equal=is_equal, labels=None)
    return counts


@pytest.mark.parametrize(
    ("counts", "is_exceeded"),
    [
        (counted(answered=9, failed=1), False),  # exactly 10 %
        (counted(answered=8, failed=2), True),
        (counted(answered=4, failed=5), False),  # too few samples
        (counted(answered=10), False),
        (counted(agreed=16, other=4), False),  # exactly 20 %
        (counted(agreed=15, other=5), True),
        (counted(agreed=1, other=8), False),
        (counted(), False),
    ],
)
def test_a_bound_is_exceeded_above_it_and_with_enough_samples(
    counts: CanaryCounts,
    is_exceeded: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    plan = CanaryPlan(2, 5, 100, max_error_percent=10, max_disagreement_percent=20, min_samples=10)
    assert (counts.excess(plan) is not None) == is_exceeded
    assert counts.excess(CanaryPlan(2, 5, 100, min_samples=1)) is None


def test_the_reason_names_the_share_and_the_bound() -> None:
    plan = CanaryPlan(2, 5, max_error_percent=10, min_samples=4)
    assert counted(answered=3, failed=1).excess(plan) == (
        "error on 25 % of 4 inputs, allowed are at most 10 %"
    )
    plan = CanaryPlan(2, 5, max_disagreement_percent=1.5, min_samples=4)
    assert counted(agreed=6, other=2).excess(plan) == (
        "disagreement on 25 % of 8 inputs, allowed are at most 1.5 %"
    )


def test_shadow_runs_of_the_canary_are_samples_of_its_errors() -> None:
    counts = counted(failed=1)
    counts.canary.shadowed(TIMINGS)
    assert counts.error_percent == 50
    assert (counts.canary.shadow_seconds, counts.canary.answer_seconds) == (0.5, 0)
    counts.stable.answered(TIMINGS)
    assert counts.stable.answer_seconds == 0.75


def test_pairs_of_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PAIRS", 2)
    counts = CanaryCounts()
    for old, new in ("ab", "aa", "ab", "bb", "bb", "ab"):
        counts.compared(is_equal=old == new, labels=(old, new))
    assert counts.labels == {("a", "b"): 3, ("a", "a"): 1}
    assert counts.num_other_pairs == 2
    assert (counts.num_compared, counts.num_agreed) == (6, 3)
