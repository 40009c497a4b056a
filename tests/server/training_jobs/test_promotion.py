from typing import Any

import pytest

from server.training_jobs.promotion import judge, overtaken


def outcome(new: float | None, live: float | None) -> dict[str, Any]:
    return {
        "metric": "accuracy",
        "measured_on": "test",
        "num_rows": 40,
        "new": new,
        "live": live,
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("new", "live", "margin", "is_promoted"),
    [
        (0.9, 0.8, 0.0, True),
        (0.8, 0.8, 0.0, False),
        (0.7, 0.8, 0.0, False),
        (0.9, 0.8, 0.05, True),
        (0.84, 0.8, 0.05, False),
        (None, 0.8, 0.0, False),
        (0.9, None, 0.0, False),
    ],
)
def test_the_alias_moves_only_to_what_is_better_by_more_than_the_margin(
    *, new: float | None, live: float | None, margin: float, is_promoted: bool
) -> None:
    verdict = judge(outcome(new, live), live_version=3, margin=margin)
    assert verdict.is_promoted == is_promoted
    assert "version 3" in verdict.reason


def test_without_a_live_version_anything_is_promoted() -> None:
    assert judge(outcome(0.1, None), live_version=None, margin=0.5).is_promoted


def test_a_verdict_on_a_version_that_is_live_no_longer_promotes_nothing() -> None:
    assert not overtaken(2).is_promoted
    assert "version 2" in overtaken(2).reason
    assert "nothing" in overtaken(None).reason
