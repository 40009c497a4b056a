"""Retention rules: which versions are deleted, and which never are."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.errors import PrefixNotFound
from prefixes.registry import (
    Actor,
    Canaries,
    CanaryPlan,
    PrefixRegistry,
    Retention,
    RetentionRule,
    Tenants,
)
from prefixes.registry.retention import expired
from tests.prefixes.publishing import publish

BOB = Actor("bob")
SWEEP = Actor("retention")
NOW = datetime(2026, 6, 1, tzinfo=UTC)

rules = st.builds(
    RetentionRule,
    keep_versions=st.none() | st.integers(1, 12),
    keep_days=st.none() | st.floats(0, 12),
)
days_old = st.lists(st.floats(0.01, 20), min_size=1, max_size=12).map(
    lambda ages: sorted(ages, reverse=True)
)
used = st.sets(st.integers(1, 12))


@given(days=days_old, rule=rules, in_use=used)
def test_a_version_goes_only_if_no_condition_keeps_it(
    days: list[float], rule: RetentionRule, in_use: set[int]
) -> None:
    ages = dict(enumerate(days, start=1))
    published = [(number, NOW - timedelta(days=age)) for number, age in ages.items()]
    gone = set(expired(published, rule, in_use=in_use, moment=NOW))
    for number, age in ages.items():
        is_new = rule.keep_versions is not None and number > len(ages) - rule.keep_versions
        is_young = rule.keep_days is not None and age <= rule.keep_days
        is_kept = is_new or is_young or number in in_use or rule == RetentionRule()
        assert (number not in gone) == is_kept


@pytest.fixture
def topic(registry: PrefixRegistry) -> PrefixRegistry:
    """A registry with six versions of acme/topic; live points to the first."""
    for text in "abcdef":
        publish(registry, "acme", "topic", text)
    return registry


@pytest.fixture
def retention(topic: PrefixRegistry) -> Retention:
    return Retention(topic.database)


def numbers(registry: PrefixRegistry) -> list[int]:
    return [version.number for version in registry.show("acme", "topic", reader="acme").versions]


def test_without_a_rule_nothing_is_deleted(topic: PrefixRegistry, retention: Retention) -> None:
    assert retention.find("acme", "topic") == RetentionRule()
    assert retention.apply(by=SWEEP) == 0
    assert len(numbers(topic)) == 6


def test_versions_in_use_are_kept_and_others_can_be_restored(
    topic: PrefixRegistry, retention: Retention
) -> None:
    topic.promote("acme", "topic", "live", 2, by=BOB)  # a rollback needs version 1
    Canaries(topic.database).set("acme", "topic", "live", CanaryPlan(3, 5), by=BOB)
    retention.set("acme", "topic", RetentionRule(keep_versions=1), by=BOB)
    assert retention.apply(by=SWEEP) == 2
    assert numbers(topic) == [1, 2, 3, 6]
    assert retention.apply(by=SWEEP) == 0
    topic.restore_version("acme", "topic", 5, by=BOB)
    assert numbers(topic) == [1, 2, 3, 5, 6]


def test_a_rule_is_set_changed_and_removed(topic: PrefixRegistry, retention: Retention) -> None:
    for rule in (RetentionRule(2, 3.5), RetentionRule(None, 1), RetentionRule()):
        retention.set("acme", "topic", rule, by=BOB)
        assert retention.find("acme", "topic") == rule
    with pytest.raises(PrefixNotFound):
        retention.set("acme", "nosuch", RetentionRule(1), by=BOB)


def test_recent_versions_are_kept_by_their_age(topic: PrefixRegistry, retention: Retention) -> None:
    retention.set("acme", "topic", RetentionRule(keep_days=1), by=BOB)
    assert retention.apply(by=SWEEP) == 0
    retention.set("acme", "topic", RetentionRule(keep_days=0), by=BOB)
    assert retention.apply(by=SWEEP) == 5
    assert numbers(topic) == [1]


def test_rules_of_deleted_tasks_and_tenants_rest(
    topic: PrefixRegistry, retention: Retention
) -> None:
    retention.set("acme", "topic", RetentionRule(keep_versions=1), by=BOB)
    topic.delete_prefix("acme", "topic", by=BOB)
    assert retention.apply(by=SWEEP) == 0
    topic.restore_prefix("acme", "topic", by=BOB)
    tenants = Tenants(topic.database)
    tenants.delete("acme", by=BOB)
    assert retention.apply(by=SWEEP) == 0
    tenants.resume("acme", by=BOB)
    assert retention.apply(by=SWEEP) == 4
