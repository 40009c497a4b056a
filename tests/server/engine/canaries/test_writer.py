"""Counts of canaries in the database: what a restart keeps."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.errors import StoreCorrupted
from prefixes.lengths import LengthOptions
from prefixes.registry import Actor, Canaries, CanaryPlan, PrefixRegistry, open_registry
from prefixes.registry.canary_counts import StoredCounts
from server.engine.canaries import writer
from server.engine.canaries.counts import CanaryCounts
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import TaskInput
from tests.factories import make_prefix
from tests.server.doubles import RecordingMetrics, damage, publish, until

pytestmark = pytest.mark.anyio

LIVE = PrefixRef("acme", "tone", alias="live")
BOB = Actor("bob")


@pytest.fixture
def registry(backbone: Backbone, tmp_path: Path) -> Iterator[PrefixRegistry]:
    """A registry with two versions of acme/tone, of which the second is the canary."""
    registry = open_registry(tmp_path / "store")
    for seed in (1, 2):
        publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, seed=seed))
    start(registry)
    yield registry
    registry.close()


@pytest.fixture
def stored(registry: PrefixRegistry) -> StoredCounts:
    return StoredCounts(registry.database)


def start(registry: PrefixRegistry, version: int = 2, *, percent: float = 100) -> None:
    plan = CanaryPlan(version, percent, max_error_percent=50, min_samples=4)
    Canaries(registry.database).set("acme", "tone", "live", plan, by=BOB)


def new_engine(backbone: Backbone, registry: PrefixRegistry) -> Engine:
    limits = EngineLimits(resident_bytes=2**20, num_streams=1)
    return Engine(backbone, registry, limits, RecordingMetrics())


async def ask(engine: Engine, times: int = 1) -> None:
    inputs = [TaskInput(LIVE, {"text": "a good film"})] * times
    await engine.infer(
        inputs, reader="acme", lengths=LengthOptions(), timeout_seconds=30, routing_key="me"
    )


def counts_of(engine: Engine) -> CanaryCounts:
    return engine.canaries.counts("acme", "tone", "live")


def num_stored(stored: StoredCounts) -> list[int]:
    return [CanaryCounts.from_json(text).canary.num_answered for text in stored.newest(9).values()]


async def test_counts_survive_a_restart(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    for expected in (3, 6):
        engine = new_engine(backbone, registry)
        async with writer.writing(engine.canaries, stored):
            await engine.start()
            before = counts_of(engine)
            assert before.canary.num_answered == expected - 3
            await ask(engine, times=3)
            after = counts_of(engine)
            assert after.canary.num_answered == expected
            await engine.stop()
        assert num_stored(stored) == [expected]
    assert counts_of(new_engine(backbone, registry)) == CanaryCounts()


async def test_a_killed_process_loses_what_was_not_written_yet(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    engine = new_engine(backbone, registry)
    await engine.start()
    async with writer.writing(engine.canaries, stored, seconds_between=0.01):
        await ask(engine, times=2)
        await until(lambda: num_stored(stored) == [2])
    await ask(engine, times=5)  # nothing writes these
    await engine.stop()
    again = new_engine(backbone, registry)
    async with writer.writing(again.canaries, stored):
        assert counts_of(again).canary.num_answered == 2


async def test_errors_before_and_after_a_restart_roll_a_canary_back(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    second = registry.version(PrefixRef("acme", "tone", version=2), reader="acme")
    damage(registry, second.digest)
    for _ in range(2):
        (alias,) = registry.show("acme", "tone", reader="acme").aliases
        assert alias.canary is not None
        engine = new_engine(backbone, registry)
        async with writer.writing(engine.canaries, stored):
            await engine.start()
            for _ in range(2):
                with pytest.raises(StoreCorrupted):
                    await ask(engine)
            await until(lambda: not engine.canaries._rollbacks)  # noqa: B023 - awaited here
            await engine.stop()
    (alias,) = registry.show("acme", "tone", reader="acme").aliases
    assert alias.canary is None
    assert alias.moves[-1].reason == "error on 100 % of 4 inputs, allowed are at most 50 %"


async def test_servers_that_share_a_database_add_to_one_total(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    one, other = (new_engine(backbone, registry) for _ in range(2))
    async with (
        writer.writing(one.canaries, stored, seconds_between=0.01),
        writer.writing(other.canaries, stored, seconds_between=0.01),
    ):
        await one.start()
        await other.start()
        await ask(one, times=2)
        await until(lambda: num_stored(stored) == [2])
        await ask(other, times=3)
        await until(lambda: counts_of(other).canary.num_answered == 5)
        await ask(one)
        await until(lambda: counts_of(one).canary.num_answered == 6)
        await one.stop()
        await other.stop()
    assert num_stored(stored) == [6]


async def test_a_canary_that_exceeds_a_bound_over_all_servers_is_rolled_back(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    second = registry.version(PrefixRef("acme", "tone", version=2), reader="acme")
    damage(registry, second.digest)
    one, other = (new_engine(backbone, registry) for _ in range(2))
    async with (
        writer.writing(one.canaries, stored, seconds_between=0.01),
        writer.writing(other.canaries, stored, seconds_between=0.01),
    ):
        for engine in (one, other):
            await engine.start()
            for _ in range(2):  # too few for this server to decide
                with pytest.raises(StoreCorrupted):
                    await ask(engine)
        await until(lambda: registry.show("acme", "tone", reader="acme").aliases[0].canary is None)
        await until(lambda: not (one.canaries._rollbacks or other.canaries._rollbacks))
        await one.stop()
        await other.stop()
    moves = registry.show("acme", "tone", reader="acme").aliases[0].moves
    assert [move.kind for move in moves].count("canary_rollback") == 1


async def test_a_server_without_requests_shows_the_counts_of_the_others(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    one, other = (new_engine(backbone, registry) for _ in range(2))
    async with (
        writer.writing(one.canaries, stored, seconds_between=0.01),
        writer.writing(other.canaries, stored, seconds_between=0.01),
    ):
        await one.start()
        await ask(one, times=2)
        await until(lambda: counts_of(other).canary.num_answered == 2)
        await one.stop()


async def test_another_canary_of_the_alias_begins_with_no_counts(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint, seed=3))
    engine = new_engine(backbone, registry)
    await engine.start()
    async with writer.writing(engine.canaries, stored):
        await ask(engine)
    start(registry, percent=90)
    assert num_stored(stored) == [1]
    start(registry, version=3)
    assert num_stored(stored) == []
    async with writer.writing(engine.canaries, stored):
        await ask(engine, times=2)
    assert num_stored(stored) == [2]
    Canaries(registry.database).cancel("acme", "tone", "live", by=BOB)
    async with writer.writing(engine.canaries, stored):
        pass
    assert num_stored(stored) == []
    await engine.stop()


async def test_counts_are_kept_in_memory_while_the_database_is_not_available(
    backbone: Backbone,
    registry: PrefixRegistry,
    stored: StoredCounts,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = new_engine(backbone, registry)
    await engine.start()
    await ask(engine)
    connection = sqlite3.connect(tmp_path / "store" / "registry.db")
    connection.execute("ALTER TABLE canaries RENAME COLUMN counts TO gone")
    async with writer.writing(engine.canaries, stored, seconds_between=0.01):
        await until(lambda: "will try again" in caplog.text)
        assert "could not read the counts" in caplog.text
        connection.execute("ALTER TABLE canaries RENAME COLUMN gone TO counts")
        await until(lambda: num_stored(stored) == [1])
    connection.close()
    assert counts_of(engine).canary.num_answered == 1
    await engine.stop()


async def test_writes_leave_cached_answers_valid(
    backbone: Backbone, registry: PrefixRegistry, stored: StoredCounts
) -> None:
    engine = new_engine(backbone, registry)
    await engine.start()
    await ask(engine)
    assert registry.recall({LIVE}, reader="acme") is not None
    async with writer.writing(engine.canaries, stored):
        pass
    assert num_stored(stored) == [1]
    assert registry.recall({LIVE}, reader="acme") is not None
    await engine.stop()
