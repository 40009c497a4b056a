"""Statistics of answers in the database."""

from datetime import UTC, datetime, timedelta

import pytest

from prefixes.registry import COMMAND_LINE, PrefixRegistry, Tenants
from prefixes.registry.answer_hours import AnswerHour, AnswerHours, AnsweringVersion
from prefixes.registry.webhooks import Webhooks
from prefixes.spec.statistics import NUM_LENGTHS, UNKNOWN_BOUNDS, AnswerStatistics

NINE = datetime(2026, 11, 29, 9, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
ONE = AnsweringVersion("acme", "spam", "1" * 64)


@pytest.fixture
def hours(registry: PrefixRegistry) -> AnswerHours:
    return AnswerHours(registry.database)


def statistics(texts: int) -> AnswerStatistics:
    unknown = (texts, *([0] * len(UNKNOWN_BOUNDS)))
    return AnswerStatistics(
        texts=texts, lengths=(texts, *([0] * (NUM_LENGTHS - 1))), unknown=unknown
    )


def row(hour: datetime, texts: int, version: AnsweringVersion = ONE) -> AnswerHour:
    return AnswerHour(hour, version, statistics(texts))


def test_the_hours_of_a_version_are_added_up(hours: AnswerHours) -> None:
    hours.add([row(NINE, 1), row(TEN, 10)])
    hours.add([row(TEN, 100), row(TEN, 5, ONE._replace(digest="2" * 64))])
    assert hours.sum(ONE, since=NINE) == statistics(111)
    assert hours.sum(ONE, since=TEN) == statistics(110)
    assert hours.sum(ONE, since=TEN + timedelta(hours=1)) is None


def test_old_hours_are_removed(hours: AnswerHours) -> None:
    hours.add([row(NINE, 1), row(TEN, 10)])
    hours.remove_before(TEN)
    assert hours.sum(ONE, since=NINE) == statistics(10)


def test_a_drift_is_reported_once_within_the_hours_that_show_it(
    hours: AnswerHours, registry: PrefixRegistry
) -> None:
    registry.ensure_tenant("acme")
    hooks = Webhooks(registry.database)
    hook = hooks.create("acme", "https://example.org", ["task.drifted"], by=COMMAND_LINE)
    hours.add([row(NINE, 1)])
    assert hours.report(ONE, {"task": "spam"}, since=NINE)
    hours.add([row(TEN, 1)])
    assert not hours.report(ONE, {"task": "spam"}, since=NINE)
    assert hours.report(ONE, {"task": "spam"}, since=TEN)
    found = hooks.deliveries("acme", hook.webhook.id, limit=9)
    assert [one.event for one in found] == ["task.drifted"] * 2


def test_the_statistics_of_a_removed_tenant_are_removed(
    hours: AnswerHours, registry: PrefixRegistry
) -> None:
    registry.ensure_tenant("acme")
    hours.add([row(NINE, 1)])
    Tenants(registry.database).delete("acme", by=COMMAND_LINE)
    later = datetime.now(UTC) + timedelta(days=1)
    assert registry.purge_tenant("acme", before=later, by=COMMAND_LINE)
    assert hours.sum(ONE, since=NINE) is None
