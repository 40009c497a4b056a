"""The meter: counts in memory."""

from datetime import UTC, datetime

from prefixes.registry.usage import UsageRow
from server.usage.meter import OTHER_TASKS, UsageMeter

NINE = datetime(2026, 11, 29, 9, tzinfo=UTC)
TEN = datetime(2026, 11, 29, 10, tzinfo=UTC)


class Time:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.moment = NINE

    def __call__(self) -> float:
        return self.moment.timestamp() + 1800


def test_requests_and_texts_are_added_up_by_tenant_task_and_hour() -> None:
    time = Time()
    meter = UsageMeter(now=time)
    spam, mood = meter.account("acme", "acme/spam"), meter.account(None, "examples/mood")
    spam.add_request()
    spam.add_text(7, 0.5)
    spam.add_text(3, 0.25)
    mood.add_text(1, 0.125)
    time.moment = TEN
    spam.add_text(2, 1.0)
    assert meter.take() == [
        UsageRow(NINE, "acme", "acme/spam", 1, 2, 10, 0.75),
        UsageRow(NINE, None, "examples/mood", 0, 1, 1, 0.125),
        UsageRow(TEN, "acme", "acme/spam", 0, 1, 2, 1.0),
    ]
    assert meter.take() == []


def test_each_key_of_a_tenant_has_its_own_amounts() -> None:
    meter = UsageMeter(now=Time())
    for key_id in ("a", "b", "a"):
        meter.account("acme", "acme/spam", key_id).add_text(2, 0.5)
    taken = meter.take()
    meter.put_back(taken)
    assert [(row.key_id, row.texts) for row in taken] == [("a", 2), ("b", 1)]
    assert meter.take() == taken


def test_amounts_that_are_put_back_are_added_to_later_ones() -> None:
    meter = UsageMeter(now=Time())
    account = meter.account("acme", "acme/spam")
    account.add_text(7, 0.5)
    taken = meter.take()
    account.add_request()
    meter.put_back(taken)
    assert meter.take() == [UsageRow(NINE, "acme", "acme/spam", 1, 1, 7, 0.5)]


def test_tasks_beyond_the_limit_are_counted_together_for_each_tenant() -> None:
    meter = UsageMeter(max_series=3, now=Time())
    for number in range(1000):
        for tenant in ("acme", "globex"):
            meter.account(tenant, f"{tenant}/task-{number}").add_text(1, 0.5)
    rows = {(row.tenant, row.task): row.texts for row in meter.take()}
    assert rows == {
        ("acme", "acme/task-0"): 1,
        ("globex", "globex/task-0"): 1,
        ("acme", "acme/task-1"): 1,
        ("acme", OTHER_TASKS): 998,
        ("globex", OTHER_TASKS): 999,
    }
