"""The split of an alias's callers between its stable version and its canary."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.registry import CanaryPlan, CanaryRoute, PrefixVersion, Target

keys = st.text(max_size=40)
percents = st.floats(0, 100)
numbers = st.integers(1, 999)
MANY = [f"user {number}" for number in range(20_000)]


def version(number: int, task: str = "topic") -> PrefixVersion:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return PrefixVersion(
        "acme", task, number, "0" * 64, 10, moment, "ada", "sequence_classification"
    )


def target(percent: float, *, canary: int = 2, task: str = "topic") -> Target:
    started_at = datetime(2026, 1, 2, tzinfo=UTC)
    plan = CanaryPlan(canary, percent)
    return Target(version(1, task), CanaryRoute("live", version(canary, task), plan, started_at))


def takers(percent: float, *, canary: int = 2, task: str = "topic") -> set[str]:
    split = target(percent, canary=canary, task=task)
    return {key for key in MANY if split.version_for(key).number == canary}


@given(key=keys, percent=percents, canary=numbers)
def test_a_caller_keeps_its_version(key: str, percent: float, canary: int) -> None:
    first = target(percent, canary=canary).version_for(key)
    assert target(percent, canary=canary).version_for(key) == first


@given(key=keys, lower=percents, higher=percents)
def test_a_higher_share_keeps_the_callers_of_a_lower_one(
    key: str, lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    if target(lower).version_for(key).number == 2:
        assert target(higher).version_for(key).number == 2


@given(key=keys)
def test_no_caller_at_0_percent_and_every_caller_at_100(key: str) -> None:
    assert target(0).version_for(key).number == 1
    assert target(100).version_for(key).number == 2


@pytest.mark.parametrize("percent", [0.5, 5, 20, 50, 99])
def test_the_share_of_the_callers_is_that_of_the_canary(percent: float) -> None:
    # Five standard deviations of a binomial share; a hash is deterministic, so this cannot flake.
    expected = percent / 100
    tolerance = 5 * (expected * (1 - expected) / len(MANY)) ** 0.5
    assert abs(len(takers(percent)) / len(MANY) - expected) < tolerance


def test_canaries_of_other_versions_and_tasks_take_other_callers() -> None:
    groups = [takers(10), takers(10, canary=3), takers(10, task="mood")]
    for one, other in pairwise(groups):
        assert 0.05 < len(one & other) / len(one) < 0.15  # 10 %, as independent choices


def test_a_caller_without_a_key_gets_the_stable_version() -> None:
    assert target(100).version_for(None).number == 1


def test_an_alias_without_a_canary_has_one_version() -> None:
    assert Target(version(1)).version_for("somebody").number == 1
