import pytest

from server.training_jobs.promotion import decide, keep_other_version
from training.service.protocol.messages import Success


def outcome(new: float | None, live: float | None) -> Success:
    return Success(
        metric="accuracy", measured_on="test", num_rows=40, new=new, live=live, warnings=[]
    )


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
def test_the_alias_moves_only_if_the_improvement_exceeds_the_margin(
    *, new: float | None, live: float | None, margin: float, is_promoted: bool
) -> None:
    decision = decide(outcome(new, live), live_version=3, margin=margin)
    assert decision.is_promoted == is_promoted
    assert "version 3" in decision.reason


def test_without_a_live_version_every_version_is_promoted() -> None:
    assert decide(outcome(0.1, None), live_version=None, margin=0.5).is_promoted


def test_a_comparison_with_a_version_that_is_no_longer_live_promotes_nothing() -> None:
    assert not keep_other_version(2).is_promoted
    assert "Version 2" in keep_other_version(2).reason
    assert "No version" in keep_other_version(None).reason
