"""Usage in the database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from prefixes.registry import COMMAND_LINE, Actor, PrefixRegistry, Tenants, UsageLog
from prefixes.registry.usage import UsageFilter, UsageRow

NINE = datetime(2026, 11, 29, 9, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)


@pytest.fixture
def usage(registry: PrefixRegistry) -> UsageLog:
    return UsageLog(registry.database)


def row(hour: datetime, tenant: str | None, task: str, texts: int = 1) -> UsageRow:
    return UsageRow(hour, tenant, task, 1, texts, 10 * texts, 0.25 * texts, 0.0)


def test_amounts_of_the_same_hour_tenant_and_task_are_added_up(usage: UsageLog) -> None:
    usage.add([row(NINE, "acme", "acme/spam", 2), row(NINE, None, "examples/mood")])
    usage.add([row(NINE, "acme", "acme/spam", 3), row(TEN, "acme", "acme/spam")])
    usage.add([UsageRow(TEN, "acme", "acme/spam", training_cpu_seconds=7.5)])
    assert usage.list(UsageFilter(), limit=9) == (
        row(NINE, None, "examples/mood"),
        UsageRow(NINE, "acme", "acme/spam", 2, 5, 50, 1.25, 0.0),
        UsageRow(TEN, "acme", "acme/spam", 1, 1, 10, 0.25, 7.5),
    )


def test_pages_have_each_row_once_in_the_order_of_hour_tenant_and_task(usage: UsageLog) -> None:
    rows = [
        row(hour, tenant, f"{tenant or 'examples'}/{task}")
        for hour in (NINE, TEN)
        for tenant in (None, "acme", "globex")
        for task in ("mood", "spam")
    ]
    usage.add(list(reversed(rows)))
    found: list[UsageRow] = []
    while page := usage.list(UsageFilter(), limit=5, after=found[-1].place if found else None):
        found += page
    assert found == rows
    assert [one for page in usage.pages(UsageFilter()) for one in page] == rows


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (UsageFilter(tenant="acme"), [0, 2]),
        (UsageFilter(task="globex/spam"), [1]),
        (UsageFilter(since=TEN), [2]),
        (UsageFilter(until=TEN), [0, 1]),
        (UsageFilter(tenant="globex", since=TEN), []),
    ],
)
def test_filters_select_rows(usage: UsageLog, where: UsageFilter, expected: list[int]) -> None:
    rows = [
        row(NINE, "acme", "acme/spam"),
        row(NINE, "globex", "globex/spam"),
        row(TEN, "acme", "acme/spam"),
    ]
    usage.add(rows)
    assert list(usage.list(where, limit=9)) == [rows[place] for place in expected]


def test_amounts_are_added_up_for_each_key_as_well(usage: UsageLog) -> None:
    keys = {"acme/spam": "a" * 12, "acme/mood": "a" * 12, "acme/names": "b" * 12}
    usage.add([replace(row(NINE, "acme", task, 2), key_id=key_id) for task, key_id in keys.items()])
    usage.add([replace(row(TEN, None, "acme/spam"), key_id="c" * 12), row(TEN, None, "acme/spam")])
    usage.add([UsageRow(TEN, "acme", "acme/spam", training_cpu_seconds=7.5)])
    by_key = UsageFilter(by="key")
    assert usage.list(by_key, limit=9) == (
        UsageRow(NINE, "acme", None, 2, 4, 40, 1.0, key_id="a" * 12),
        UsageRow(NINE, "acme", None, 1, 2, 20, 0.5, key_id="b" * 12),
        UsageRow(TEN, None, None, 1, 1, 10, 0.25, key_id="c" * 12),
    )
    assert len(usage.list(UsageFilter(), limit=9)) == 5
    one = replace(by_key, key_id="b" * 12)
    assert [found.texts for found in usage.list(one, limit=9)] == [2]
    first = usage.list(by_key, limit=1)
    assert [found.key_id for found in usage.list(by_key, limit=9, after=first[0].place)] == [
        "b" * 12, "c" * 12,
    ]  # fmt: skip


def test_old_rows_are_removed(usage: UsageLog) -> None:
    rows = [row(hour, "acme", "acme/spam") for hour in (NINE, TEN)]
    usage.add([replace(one, key_id="a" * 12) for one in rows])
    for moment, expected in ((NINE, 2), (TEN, 1)):
        usage.remove_before(moment)
        assert len(usage.list(UsageFilter(), limit=9)) == expected
        assert len(usage.list(UsageFilter(by="key"), limit=9)) == expected


def test_a_later_tenant_of_the_same_name_does_not_see_the_usage(
    registry: PrefixRegistry, usage: UsageLog
) -> None:
    usage.add([replace(row(NINE, "acme", "acme/spam"), key_id="a" * 12)])
    usage.add([row(NINE, "globex", "globex/spam")])
    Tenants(registry.database).delete("acme", by=COMMAND_LINE)
    later = datetime.now(UTC) + timedelta(days=1)
    assert registry.purge_tenant("acme", before=later, by=Actor("retention"))
    assert usage.list(UsageFilter(), limit=9) == (row(NINE, "globex", "globex/spam"),)
    assert usage.list(UsageFilter(by="key"), limit=9) == ()


def test_writing_usage_keeps_cached_answers(registry: PrefixRegistry, usage: UsageLog) -> None:
    before = registry.database.state()
    usage.add([row(NINE, "acme", "acme/spam")])
    usage.remove_before(TEN)
    assert registry.database.state() == before
