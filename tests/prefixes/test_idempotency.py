"""Idempotency keys in the registry: a repeated change is made once."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.errors import IdempotencyKeyReused, NothingToRollBack, PrefixNotFound
from prefixes.registry import (
    Actor,
    Canaries,
    CanaryPlan,
    IdempotencyKey,
    PrefixRegistry,
    PublishedVersion,
    Tenants,
    idempotency,
    open_registry,
)
from prefixes.registry.tables import idempotency_keys, now
from tests.prefixes.publishing import tiny_prefix

BOB = Actor("bob")
KEY = IdempotencyKey("one", "the same")
PATH = ("acme", "topic", "live")


def publish(
    registry: PrefixRegistry, text: str, once: IdempotencyKey | None = None
) -> PublishedVersion:
    prefix = tiny_prefix(text)
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        return registry.publish("acme", "topic", staged, prefix, alias="live", by=BOB, once=once)


def live(registry: PrefixRegistry) -> int:
    return registry.version(PrefixRef("acme", "topic", alias="live"), reader="acme").number


@pytest.fixture
def topic(registry: PrefixRegistry) -> PrefixRegistry:
    """A registry with three versions of acme/topic; live pointed to each of them in turn."""
    for text in ("a", "b", "c"):
        publish(registry, text)
    return registry


def test_a_repeated_publication_gives_the_first_result_and_moves_nothing(
    registry: PrefixRegistry,
) -> None:
    first = publish(registry, "a", KEY)
    publish(registry, "b")
    again = publish(registry, "a", KEY)
    assert again == first
    assert again.is_new
    assert live(registry) == 2


def test_a_repeated_rollback_goes_back_once(topic: PrefixRegistry) -> None:
    rollback = partial(topic.rollback, *PATH, by=BOB, once=KEY)
    assert [rollback(), rollback()] == [2, 2]
    assert live(topic) == 2
    assert topic.rollback(*PATH, by=BOB, once=IdempotencyKey("two", "the same")) == 1


def test_a_repeated_promotion_does_not_move_the_alias_back(topic: PrefixRegistry) -> None:
    changes: list[Callable[[IdempotencyKey], object]] = [
        lambda key: topic.promote(*PATH, 1, by=BOB, once=key),
        lambda key: topic.replace(*PATH, 1, instead_of=3, by=BOB, once=key),
    ]
    for number, change in enumerate(changes):
        key = IdempotencyKey(str(number), "the same")
        topic.promote(*PATH, 3, by=BOB)
        first = change(key)
        assert live(topic) == 1
        topic.promote(*PATH, 2, by=BOB)
        assert change(key) == first
        assert live(topic) == 2


def test_a_repeated_promotion_of_a_canary_needs_no_canary(topic: PrefixRegistry) -> None:
    canaries = Canaries(topic.database)
    canaries.set(*PATH, CanaryPlan(1, 5), by=BOB)
    promote = partial(canaries.promote, *PATH, by=BOB, once=KEY)
    assert [promote(), promote()] == [1, 1]


def test_a_key_of_another_request_is_refused_and_changes_nothing(topic: PrefixRegistry) -> None:
    topic.promote(*PATH, 1, by=BOB, once=KEY)
    other = IdempotencyKey("one", "another")
    for change in (
        lambda: publish(topic, "d", other),
        lambda: topic.promote(*PATH, 2, by=BOB, once=other),
        lambda: topic.rollback(*PATH, by=BOB, once=other),
    ):
        with pytest.raises(IdempotencyKeyReused, match="Idempotency-Key 'one' was used"):
            change()
    assert live(topic) == 1
    assert len(topic.show("acme", "topic", reader="acme").versions) == 3


def test_a_failed_change_leaves_its_key_unused(registry: PrefixRegistry) -> None:
    publish(registry, "a")
    with pytest.raises(NothingToRollBack):
        registry.rollback(*PATH, by=BOB, once=KEY)
    publish(registry, "b")
    assert registry.rollback(*PATH, by=BOB, once=KEY) == 1


def test_keys_of_tenants_are_independent_and_go_with_them(topic: PrefixRegistry) -> None:
    topic.promote(*PATH, 1, by=BOB, once=KEY)
    prefix = tiny_prefix("other")
    with topic.store.stage() as staged:
        staged.write(prefix.to_bytes())
        made = topic.publish(
            "globex", "topic", staged, prefix, by=BOB, once=IdempotencyKey("one", "another")
        )
    assert made.is_new
    Tenants(topic.database).delete("acme", by=BOB)
    assert topic.purge_tenant("acme", before=now(), by=BOB)
    with topic.database.read() as connection:
        assert len(connection.execute(idempotency_keys.select()).all()) == 1


def test_a_repeated_publication_of_a_version_that_was_deleted_says_so(
    topic: PrefixRegistry,
) -> None:
    made = publish(topic, "d", KEY)
    topic.promote(*PATH, 1, by=BOB)
    topic.remove_version("acme", "topic", made.version.number)
    with pytest.raises(PrefixNotFound, match="acme/topic@4"):
        publish(topic, "d", KEY)


def test_a_key_is_forgotten_after_a_day(
    topic: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic.rollback(*PATH, by=BOB, once=KEY)
    later = now() + idempotency.KEPT

    def tomorrow() -> datetime:
        return later + timedelta(seconds=1)

    monkeypatch.setattr(idempotency, "now", tomorrow)
    assert topic.rollback(*PATH, by=BOB, once=IdempotencyKey("one", "another")) == 1
    later += idempotency.KEPT
    topic.sweep()
    with topic.database.read() as connection:
        assert connection.execute(idempotency_keys.select()).all() == []


def test_a_key_survives_a_restart(
    topic: PrefixRegistry, tmp_path: Path, database_url: str | None
) -> None:
    assert topic.rollback(*PATH, by=BOB, once=KEY) == 2
    topic.close()
    again = open_registry(tmp_path / "registry", database_url=database_url)
    assert again.rollback(*PATH, by=BOB, once=KEY) == 2
    assert live(again) == 2
    again.close()


def test_of_repeated_requests_at_once_one_makes_the_change(
    topic: PrefixRegistry, tmp_path: Path, database_url: str | None
) -> None:
    others = [open_registry(tmp_path / "registry", database_url=database_url) for _ in range(4)]
    barrier = threading.Barrier(len(others))
    results: list[int] = []

    def repeat(registry: PrefixRegistry) -> None:
        barrier.wait()
        results.append(registry.rollback(*PATH, by=BOB, once=KEY))

    threads = [threading.Thread(target=repeat, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2] * 4
    assert live(topic) == 2
    for other in others:
        other.close()
