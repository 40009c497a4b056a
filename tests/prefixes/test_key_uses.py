from datetime import UTC, datetime, timedelta

import pytest

from prefixes.errors import StoreUnavailable
from prefixes.registry import ApiKeys, PrefixRegistry
from prefixes.registry.key_uses import KeyUses


def last_use(registry: PrefixRegistry) -> datetime | None:
    (key,) = ApiKeys(registry.database).list("acme")
    return key.last_used_at


def test_uses_reach_the_database_when_they_are_written(registry: PrefixRegistry) -> None:
    keys = ApiKeys(registry.database)
    key = keys.issue("acme", "laptop").key
    keys.authenticate(key)
    assert last_use(registry) is None
    keys.uses.write()
    used = last_use(registry)
    assert used is not None
    assert datetime.now(UTC) - used < timedelta(minutes=1)


def test_the_use_of_an_invalid_key_is_not_noted(registry: PrefixRegistry) -> None:
    keys = ApiKeys(registry.database)
    key = keys.issue("acme", "laptop").key
    keys.revoke(key.split("_")[1])
    keys.authenticate(key)
    keys.uses.write()
    assert last_use(registry) is None


def test_an_earlier_use_that_is_written_later_changes_nothing(registry: PrefixRegistry) -> None:
    key_id = ApiKeys(registry.database).issue("acme", "laptop").key.split("_")[1]
    for seconds in (2000.0, 1000.0):
        uses = KeyUses(registry.database)  # as of another process
        uses.note(key_id, seconds)
        uses.write()
    assert last_use(registry) == datetime.fromtimestamp(2000, UTC)


def test_uses_that_could_not_be_written_are_written_next_time(
    registry: PrefixRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = ApiKeys(registry.database).issue("acme", "laptop").key.split("_")[1]
    uses = KeyUses(registry.database)
    uses.note(key_id, 1000.0)

    def fail() -> None:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(registry.database, "write_activity", fail)
        with pytest.raises(StoreUnavailable):
            uses.write()
    uses.write()
    assert last_use(registry) == datetime.fromtimestamp(1000, UTC)
