"""The writer: when usage reaches the database."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefixes.registry import PrefixRegistry, UsageLog, open_registry
from prefixes.registry.usage import UsageFilter, UsageRow
from server.usage import writer
from server.usage.meter import UsageMeter
from tests.server.doubles import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    registry = open_registry(tmp_path)
    yield registry
    registry.close()


@pytest.fixture
def usage(registry: PrefixRegistry) -> UsageLog:
    return UsageLog(registry.database)


def num_texts(usage: UsageLog) -> int:
    return sum(row.texts for row in usage.list(UsageFilter(), limit=1000))


async def test_usage_is_written_now_and_then_and_at_the_end(usage: UsageLog) -> None:
    meter = UsageMeter()
    account = meter.account("acme", "acme/spam")
    async with writer.writing(meter, usage, retention_days=1, seconds_between=0.01):
        for expected in (1, 2):
            account.add_text(1, 0.1)
            await until(lambda number=expected: num_texts(usage) == number)  # type: ignore[misc]
    async with writer.writing(meter, usage, retention_days=1, seconds_between=3600):
        account.add_text(1, 0.1)
        await asyncio.sleep(0)
        assert num_texts(usage) == 2
    assert num_texts(usage) == 3


async def test_usage_is_kept_in_memory_while_the_database_is_not_available(
    usage: UsageLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    meter = UsageMeter()
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("ALTER TABLE usage_hours RENAME TO gone")
    async with writer.writing(meter, usage, retention_days=1, seconds_between=0.01):
        meter.account("acme", "acme/spam").add_text(1, 0.1)
        await until(lambda: "will try again" in caplog.text)
        with sqlite3.connect(tmp_path / "registry.db") as connection:
            connection.execute("ALTER TABLE gone RENAME TO usage_hours")
        await until(lambda: num_texts(usage) == 1)
    connection.close()


async def test_rows_older_than_the_retention_are_removed(usage: UsageLog) -> None:
    long_ago = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    usage.add([UsageRow(long_ago, "acme", "acme/spam", 1)])
    for days, expected in ((4, 1), (2, 0)):
        async with writer.writing(UsageMeter(), usage, retention_days=days):
            pass
        assert len(usage.list(UsageFilter(), limit=9)) == expected


async def test_many_rows_are_written_in_several_transactions(
    usage: UsageLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ROWS_OF_A_WRITE", 2)
    meter = UsageMeter()
    for number in range(5):
        meter.account("acme", f"acme/task-{number}").add_text(1, 0.1)
    async with writer.writing(meter, usage, retention_days=1):
        pass
    assert num_texts(usage) == 5
