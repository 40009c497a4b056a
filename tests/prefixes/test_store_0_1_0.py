"""A store that version 0.1.0 wrote. `tests/server/test_store_0_1_0.py` serves it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.registry import (
    COMMAND_LINE,
    ApiKeys,
    PrefixRegistry,
    Sharing,
    Tenants,
    open_registry,
)
from server.training_jobs.store import TrainingStore
from tests.prefixes.old_databases import KEYS_0_1_0, copy_store_0_1_0
from tests.prefixes.publishing import publish

_REVOKED = "pp_cc5218e8a90d_Nk17wyEyd8UU15tJK2YvFu0VE8KuQ5yQehA_9_Q5syA"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    folder = tmp_path / "store"
    copy_store_0_1_0(folder)
    registry = open_registry(folder)
    yield registry
    registry.close()


def test_its_keys_still_belong_to_their_tenants(registry: PrefixRegistry) -> None:
    keys = ApiKeys(registry.database)
    for tenant, key in KEYS_0_1_0.items():
        owner = keys.authenticate(key)
        assert owner is not None
        assert (owner.tenant, owner.role) == (tenant, "admin")
    assert keys.authenticate(_REVOKED) is None
    assert [key.label for key in keys.list("acme")] == ["laptop of Ada", "old laptop"]


def test_its_prefixes_are_found_and_can_be_changed(registry: PrefixRegistry) -> None:
    live = PrefixRef("acme", "topic", alias="live")
    version = registry.version(live, reader="acme")
    assert version.number == 1
    assert len(registry.read(version.digest)) == version.size_bytes
    assert registry.public_example() == PrefixRef("examples", "mood", alias="live")
    history = registry.show("acme", "topic", reader="acme").aliases[0].moves
    assert [move.kind for move in history] == ["publish", "publish", "rollback"]
    assert publish(registry, "acme", "topic", "three", alias="live").version.number == 3


def test_its_trainings_are_listed(registry: PrefixRegistry) -> None:
    trainings = TrainingStore(
        registry.database, max_queued=1, max_kept_per_tenant=1, default_limits={}
    )
    (found,) = trainings.list("acme", before=None, limit=9)
    assert (found.state, found.result) == ("succeeded", {"ref": "acme/topic@1", "version": 1})


def test_its_keys_and_tenants_can_be_changed_in_the_new_ways(registry: PrefixRegistry) -> None:
    keys, tenants = ApiKeys(registry.database), Tenants(registry.database)
    old = KEYS_0_1_0["acme"]
    new = keys.rotate(old.split("_")[1], overlap=timedelta(0)).key
    assert keys.authenticate(old) is None
    assert keys.authenticate(new) is not None
    tenants.suspend("acme", by=COMMAND_LINE)
    identity = keys.authenticate(new)
    assert identity is not None
    assert identity.is_suspended
    assert keys.authenticate(keys.issue(None, "operator", role="operator").key) is not None
    Sharing(registry.database).add("acme", "topic", "globex", by=COMMAND_LINE)
    tenants.resume("acme", by=COMMAND_LINE)
    assert registry.version(PrefixRef("acme", "topic", version=1), reader="globex").number == 1
