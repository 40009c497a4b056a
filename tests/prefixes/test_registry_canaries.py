"""Canaries in the registry: their rules, their history, and changes at the same time."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes import PrefixRef
from prefixes.errors import (
    CanaryNotFound,
    InvalidCanary,
    InvalidName,
    NothingToRollBack,
    PrefixNotFound,
    VersionInUse,
)
from prefixes.registry import (
    Actor,
    Alias,
    AuditEvent,
    AuditLog,
    Canaries,
    Canary,
    CanaryPlan,
    PrefixRegistry,
    open_registry,
)
from prefixes.registry.audit import AuditFilter
from tests.prefixes.conftest import on_sqlite
from tests.prefixes.publishing import publish

LIVE = PrefixRef("acme", "topic", alias="live")
PATH = ("acme", "topic", "live")
BOB = Actor("bob")


@pytest.fixture
def canaries(topic: PrefixRegistry) -> Canaries:
    return Canaries(topic.database)


def live_of(registry: PrefixRegistry) -> Alias:
    (alias,) = registry.show("acme", "topic", reader="acme").aliases
    return alias


def answered(registry: PrefixRegistry, key: str | None) -> int:
    """The version that answers a caller now."""
    return registry.resolve([LIVE], reader="acme")[LIVE].version_for(key).number


def test_a_canary_answers_its_share_of_the_callers(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canaries.set(*PATH, CanaryPlan(2, 100), by=BOB)
    assert (answered(topic, "key"), answered(topic, None)) == (2, 1)
    assert topic.version(LIVE, reader="acme").number == 1
    canary = live_of(topic).canary
    assert canary is not None
    assert canary == canaries.find(*PATH)
    assert (canary.plan, canary.started_by) == (CanaryPlan(2, 100), "bob")


@on_sqlite
def test_a_change_by_another_process_applies_to_the_next_request(
    topic: PrefixRegistry, canaries: Canaries, tmp_path: Path, database_url: str | None
) -> None:
    other = open_registry(tmp_path / "registry", database_url=database_url)
    for percent, expected in ((100, 2), (0, 1), (100, 2)):
        canaries.set(*PATH, CanaryPlan(2, percent), by=BOB)
        assert other.recall([LIVE], reader="acme") is None
        assert answered(other, "key") == expected
        assert other.recall([LIVE], reader="acme") is not None
    canaries.cancel(*PATH, by=BOB)
    assert answered(other, "key") == 1
    other.close()


def test_changing_the_share_keeps_the_start_and_another_version_is_a_new_canary(
    canaries: Canaries,
) -> None:
    first = canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    same = canaries.set(*PATH, CanaryPlan(2, 5), by=Actor("eve"))
    assert same == first
    more = canaries.set(*PATH, CanaryPlan(2, 50), by=Actor("eve"))
    assert (more.started_at, more.started_by) == (first.started_at, "bob")
    assert more.revision > first.revision
    other = canaries.set(*PATH, CanaryPlan(3, 50), by=Actor("eve"))
    assert (other.started_by, other.revision > more.revision) == ("eve", True)


def test_promoting_points_the_alias_to_the_canary_and_a_rollback_undoes_that(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canaries.set(*PATH, CanaryPlan(3, 5), by=BOB)
    assert canaries.promote(*PATH, by=BOB) == 3
    assert (live_of(topic).version, live_of(topic).canary) == (3, None)
    assert topic.rollback(*PATH, by=BOB) == 1
    with pytest.raises(NothingToRollBack):
        topic.rollback(*PATH, by=BOB)


def test_every_move_of_the_alias_ends_its_canary(topic: PrefixRegistry, canaries: Canaries) -> None:
    moves: list[Callable[[], Any]] = [
        lambda: topic.promote(*PATH, 3, by=BOB),
        lambda: topic.rollback(*PATH, by=BOB),
        lambda: publish(topic, "acme", "topic", "d", alias="live"),
        lambda: topic.promote(*PATH, 2, by=BOB),
    ]
    for move in moves:
        canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
        move()
        assert live_of(topic).canary is None
        with pytest.raises(CanaryNotFound, match="acme/topic:live has no canary"):
            canaries.find(*PATH)


def test_promoting_an_alias_to_where_it_points_keeps_its_canary(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canary = canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    topic.promote(*PATH, 1, by=BOB)
    assert canaries.find(*PATH) == canary


def test_the_history_and_the_audit_log_record_every_change(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    canaries.set(*PATH, CanaryPlan(2, 20), by=BOB)
    canaries.cancel(*PATH, by=BOB)
    canaries.set(*PATH, CanaryPlan(3, 1), by=BOB)
    topic.promote(*PATH, 2, by=BOB)
    moves = live_of(topic).moves[1:]
    assert [(m.kind, m.from_version, m.to_version, m.percent, m.reason) for m in moves] == [
        ("canary", 1, 2, 5, None),
        ("canary", 1, 2, 20, None),
        ("canary_cancel", 2, 1, None, None),
        ("canary", 1, 3, 1, None),
        ("canary_cancel", 3, 1, None, "The alias was moved."),
        ("promote", 1, 2, None, None),
    ]
    events = AuditLog(topic.database).list(AuditFilter(object="acme/topic:live"), limit=5)
    assert [(event.action, shares(event)) for event in events] == [
        ("alias.move", [None, None]),
        ("canary.cancel", [1, None]),
        ("canary.set", [None, 1]),
        ("canary.cancel", [20, None]),
        ("canary.set", [5, 20]),
    ]


def shares(event: AuditEvent) -> list[float | None]:
    """The shares of the canary before and after a change."""
    return [json.loads(one or "{}").get("percent") for one in (event.before, event.after)]


def test_a_canary_is_rolled_back_unless_it_has_ended(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canaries.set(*PATH, CanaryPlan(2, 5, max_error_percent=1), by=BOB)
    route = topic.resolve([LIVE], reader="acme")[LIVE].canary
    assert route is not None
    canaries.set(*PATH, CanaryPlan(2, 50), by=BOB)  # the same canary
    assert canaries.roll_back(route, reason="It fails.", by=BOB)
    assert not canaries.roll_back(route, reason="It fails.", by=BOB)
    move = live_of(topic).moves[-1]
    assert (move.kind, move.to_version, move.reason) == ("canary_rollback", 1, "It fails.")
    canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)  # a new one
    assert not canaries.roll_back(route, reason="It fails.", by=BOB)
    topic.remove_prefix("acme", "topic", by=BOB)
    assert not canaries.roll_back(route, reason="It fails.", by=BOB)


def test_a_rollback_skips_the_history_of_canaries(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    topic.promote(*PATH, 2, by=BOB)
    canaries.set(*PATH, CanaryPlan(3, 5), by=BOB)
    canaries.cancel(*PATH, by=BOB)
    assert topic.rollback(*PATH, by=BOB) == 1


def test_a_canary_is_not_deleted_but_goes_with_its_task(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    with pytest.raises(VersionInUse, match=r"acme/topic@2 .*: the canary of live; point"):
        topic.remove_version("acme", "topic", 2)
    topic.remove_prefix("acme", "topic")
    assert topic.store.digests() == frozenset()


def test_only_another_version_with_the_same_task_type_can_be_a_canary(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    with pytest.raises(InvalidCanary, match="acme/topic:live points to version 1 already"):
        canaries.set(*PATH, CanaryPlan(1, 5), by=BOB)
    with topic.database.write() as connection:
        connection.exec_driver_sql("UPDATE versions SET task_type = 'embedding' WHERE number = 2")
    with pytest.raises(InvalidCanary, match="acme/topic@2 has the task type embedding"):
        canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    assert live_of(topic).canary is None


def test_only_a_version_for_the_same_backbone_can_be_a_canary(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    with topic.database.write() as connection:
        weights = f"replace(spec, '{'0' * 64}', '{'f' * 64}')"
        connection.exec_driver_sql(f"UPDATE versions SET spec = {weights} WHERE number = 2")
    expected = r"acme/topic@2 is for the backbone tiny \(weights f+\), .* tiny \(weights 0+\)"
    with pytest.raises(InvalidCanary, match=expected):
        canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    assert live_of(topic).canary is None


def test_what_is_missing_is_named(topic: PrefixRegistry, canaries: Canaries) -> None:
    plan = CanaryPlan(2, 5)
    with pytest.raises(PrefixNotFound, match="acme/mood;"):
        canaries.set("acme", "mood", "live", plan, by=BOB)
    with pytest.raises(PrefixNotFound, match="acme/topic:next;"):
        canaries.set("acme", "topic", "next", plan, by=BOB)
    with pytest.raises(PrefixNotFound, match="acme/topic@9;"):
        canaries.set(*PATH, CanaryPlan(9, 5), by=BOB)
    with pytest.raises(InvalidName, match="digits alone"):
        canaries.set("acme", "topic", "2", plan, by=BOB)
    for change in (canaries.promote, canaries.cancel):
        with pytest.raises(CanaryNotFound, match="acme/topic:live has no canary"):
            change(*PATH, by=BOB)


def test_a_check_sees_the_current_canary_and_can_prevent_the_change(
    topic: PrefixRegistry, canaries: Canaries
) -> None:
    seen: list[Canary | None] = []

    def refuse(current: Canary | None) -> None:
        seen.append(current)
        raise LookupError

    current = canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
    with pytest.raises(LookupError):
        canaries.set(*PATH, CanaryPlan(3, 5), check=refuse, by=BOB)
    for change in (canaries.promote, canaries.cancel):
        with pytest.raises(LookupError):
            change(*PATH, check=refuse, by=BOB)
    assert seen == [current] * 3
    assert canaries.find(*PATH) == current


def test_of_two_promotions_at_once_one_finds_the_canary(
    topic: PrefixRegistry, canaries: Canaries, tmp_path: Path, database_url: str | None
) -> None:
    others = [open_registry(tmp_path / "registry", database_url=database_url) for _ in range(2)]
    for round_ in range(5):
        to = 2 + round_ % 2
        canaries.set(*PATH, CanaryPlan(to, 5), by=BOB)
        outcomes = list(at_once([Canaries(one.database) for one in others]))
        assert sorted(map(str, outcomes)) == [str(to), "CanaryNotFound"]
        assert live_of(topic).version == to
    promotions = [move for move in live_of(topic).moves if move.kind == "promote"]
    assert len(promotions) == 5
    for other in others:
        other.close()


def at_once(all_canaries: list[Canaries]) -> Iterator[object]:
    """Promote with each of them at the same time; gives the versions and the names of errors."""
    outcomes: list[object] = []
    barrier = threading.Barrier(len(all_canaries))

    def promote(canaries: Canaries) -> None:
        barrier.wait()
        try:
            outcomes.append(canaries.promote(*PATH, by=BOB))
        except CanaryNotFound as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=promote, args=(one,)) for one in all_canaries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from outcomes


def test_a_canary_survives_a_restart(
    topic: PrefixRegistry, canaries: Canaries, tmp_path: Path, database_url: str | None
) -> None:
    canary = canaries.set(*PATH, CanaryPlan(2, 37.5), by=BOB)
    topic.close()
    again = open_registry(tmp_path / "registry", database_url=database_url)
    assert Canaries(again.database).find(*PATH) == canary
    again.close()
