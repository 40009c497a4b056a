from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from prefixes import PrefixRef
from prefixes.errors import PrefixNotFound
from prefixes.registry import Actor, ApiKeys, PrefixRegistry, Target, open_registry, query_cache
from prefixes.registry.query_cache import QueryCache
from tests.prefixes.conftest import on_postgresql, on_sqlite
from tests.prefixes.publishing import publish


def _just(results: Mapping[int, int], _: Connection) -> Mapping[int, int]:
    return results


LIVE = PrefixRef("acme", "topic", alias="live")


@pytest.fixture(autouse=True)
def _follow_changes(registry: PrefixRegistry) -> None:
    registry.database.follow_changes()


@pytest.fixture
def other(
    registry: PrefixRegistry, tmp_path: Path, database_url: str | None
) -> Iterator[PrefixRegistry]:
    """The same registry as another process would open it."""
    other = open_registry(tmp_path / "registry", database_url=database_url)
    other.database.follow_changes()
    yield other
    other.close()


def catch_up(registry: PrefixRegistry, other: PrefixRegistry) -> None:
    """Let a registry see the changes of another one. With SQLite it has seen them."""
    number = other.database.change_number
    assert number is None or registry.database.catch_up(number)


def test_what_was_resolved_is_known_without_asking_again(registry: PrefixRegistry) -> None:
    version = publish(registry, "acme", "topic", "one", alias="live").version
    assert registry.recall([LIVE], reader="acme") is None
    assert registry.resolve([LIVE], reader="acme") == {LIVE: Target(version)}
    assert registry.recall([LIVE], reader="acme") == {LIVE: Target(version)}


def test_what_one_reader_may_see_is_not_recalled_for_another(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    registry.resolve([LIVE], reader="acme")
    assert registry.recall([LIVE], reader="globex") is None
    assert registry.recall([LIVE], reader=None) is None


def test_one_unknown_reference_makes_all_be_asked_for(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    publish(registry, "acme", "tone", "two", alias="live")
    registry.resolve([LIVE], reader="acme")
    tone = PrefixRef("acme", "tone", alias="live")
    assert registry.recall([LIVE, tone], reader="acme") is None


def test_an_alias_that_anybody_moves_is_not_recalled(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    registry.resolve([LIVE], reader="acme")
    second = publish(other, "acme", "topic", "two", alias="live").version
    catch_up(registry, other)
    assert registry.recall([LIVE], reader="acme") is None
    assert registry.resolve([LIVE], reader="acme") == {LIVE: Target(second)}
    first = registry.rollback("acme", "topic", "live", by=Actor("ada"))
    assert registry.recall([LIVE], reader="acme") is None
    assert registry.resolve([LIVE], reader="acme")[LIVE].stable.number == first == 1


def test_a_key_that_another_process_revokes_is_not_recalled(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    keys = ApiKeys(registry.database)
    key = keys.issue("acme", "laptop").key
    assert keys.recall(key) is None
    owner = keys.authenticate(key)
    assert owner is not None
    assert keys.recall(key) == owner
    ApiKeys(other.database).revoke(key.split("_")[1])
    catch_up(registry, other)
    assert keys.recall(key) is None
    assert keys.authenticate(key) is None
    assert keys.recall(key) is None


@pytest.mark.parametrize("key", ["", "pp_\ud800_x", f"pp_{'0' * 12}_{'A' * 43}"])
def test_what_proves_nobody_is_never_recalled(registry: PrefixRegistry, key: str) -> None:
    keys = ApiKeys(registry.database)
    keys.authenticate(key)
    assert keys.recall(key) is None


def test_writing_when_keys_were_used_keeps_all_results(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    keys, theirs = ApiKeys(registry.database), ApiKeys(other.database)
    key = keys.issue("acme", "laptop").key
    owner = keys.authenticate(key)
    resolved = registry.resolve([LIVE], reader="acme")
    theirs.authenticate(key)
    for uses in (keys.uses, theirs.uses):
        uses.write()
    assert keys.list("acme")[0].last_used_at is not None
    assert keys.recall(key) == owner
    assert registry.recall([LIVE], reader="acme") == resolved


def test_a_transaction_that_changes_nothing_keeps_all_results(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    resolved = registry.resolve([LIVE], reader="acme")
    with registry.database.write():
        pass
    assert registry.recall([LIVE], reader="acme") == resolved


def test_a_change_that_is_rolled_back_keeps_all_results(registry: PrefixRegistry) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    resolved = registry.resolve([LIVE], reader="acme")
    with pytest.raises(PrefixNotFound):
        registry.promote("acme", "topic", "live", 9, by=Actor("ada"))
    assert registry.recall([LIVE], reader="acme") == resolved


def test_an_answer_read_while_something_changed_is_not_cached(
    registry: PrefixRegistry, other: PrefixRegistry
) -> None:
    cache: QueryCache[str, int] = QueryCache(registry.database)

    def read(_: Connection) -> Mapping[str, int]:
        other.ensure_tenant("initech")
        catch_up(registry, other)
        return {"how many tenants": 4}

    assert cache.query(read) == {"how many tenants": 4}
    assert cache.recall(["how many tenants"]) is None


def test_the_number_of_cached_results_is_bounded(registry: PrefixRegistry) -> None:
    cache: QueryCache[int, int] = QueryCache(registry.database)
    for start in range(0, 40_000, 10_000):
        numbers = range(start, start + 10_000)
        results = {number: number for number in numbers}
        cache.query(partial(_just, results))
        assert cache.recall(numbers) == results
    assert cache.recall([0]) is None


def test_a_database_that_cannot_be_watched_is_asked_every_time(tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "registry", database_url="sqlite://")
    try:
        registry.ensure_tenant("acme")
        publish(registry, "acme", "topic", "one", alias="live")
        registry.resolve([LIVE], reader="acme")
        assert registry.database.state() is None
        assert registry.recall([LIVE], reader="acme") is None
    finally:
        registry.close()


@on_postgresql
def test_results_that_were_used_are_read_again_after_a_change(registry: PrefixRegistry) -> None:
    version = publish(registry, "acme", "topic", "one", alias="live").version
    publish(registry, "acme", "tone", "two", alias="live")
    tone = PrefixRef("acme", "tone", alias="live")
    keys = ApiKeys(registry.database)
    used, revoked = (keys.issue("acme", label) for label in ("used", "revoked"))
    for key in (used, revoked):
        keys.authenticate(key.key)
    registry.resolve([LIVE, tone], reader="acme")
    registry.remove_prefix("acme", "tone")
    keys.revoke(revoked.facts.id)
    assert keys.recall(used.key) is None
    for _ in range(2):
        keys.refresh()
        registry.refresh()
    assert registry.recall([LIVE], reader="acme") == {LIVE: Target(version)}
    assert registry.recall([LIVE], reader="globex") is None
    assert registry.recall([tone], reader="acme") is None
    identity = keys.recall(used.key)
    assert identity is not None
    assert identity == keys.authenticate(used.key)
    assert keys.recall(revoked.key) is None
    registry.ensure_tenant("initech")
    keys.refresh()
    assert keys.recall(used.key) == identity


@on_postgresql
def test_results_that_were_not_used_for_long_are_not_read_again(
    registry: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_cache, "_REFRESH_SECONDS", 0)
    publish(registry, "acme", "topic", "one", alias="live")
    registry.resolve([LIVE], reader="acme")
    for name in ("initech", "umbrella"):
        registry.ensure_tenant(name)
        registry.refresh()
    assert registry.recall([LIVE], reader="acme") is None


@on_sqlite
def test_results_of_sqlite_which_has_no_outages_are_forgotten_after_a_change(
    registry: PrefixRegistry,
) -> None:
    def read(_: Connection, former: Mapping[int, int]) -> Mapping[int, int]:
        raise AssertionError(f"{former} were kept")

    cache: QueryCache[int, int] = QueryCache(registry.database)
    cache.query(partial(_just, {1: 1}))
    registry.ensure_tenant("initech")
    cache.refresh(read)
    assert cache.recall([1]) is None


@on_sqlite
def test_a_new_connection_does_not_repeat_the_state_of_an_old_one(
    registry: PrefixRegistry,
) -> None:
    before = registry.database.state()
    registry.database.close()
    assert registry.database.state() not in {before, None}
