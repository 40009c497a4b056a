"""Limits in the registry: their values, their changes, and quotas on what tenants store."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes.errors import (
    InvalidLimit,
    KeyNotFound,
    LimitsChanged,
    QuotaExceeded,
    TenantNotFound,
)
from prefixes.limits import (
    LIMIT_NAMES,
    NO_LIMITS,
    UNLIMITED,
    LimitName,
    Limits,
    check_limit,
    tag_of,
)
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    ApiKeys,
    LimitStore,
    PrefixRegistry,
    Tenants,
    open_registry,
)
from prefixes.registry.limits import LimitChanges
from prefixes.registry.quotas import check_room
from prefixes.registry.tables import now
from tests.prefixes.conftest import on_sqlite
from tests.prefixes.publishing import publish


@pytest.fixture
def limits(registry: PrefixRegistry) -> LimitStore:
    return LimitStore(registry.database, {"max_prefixes": 7})


def change(limits: LimitStore, changes: LimitChanges, tenant: str = "acme") -> Limits:
    return limits.change_tenant(tenant, changes, by=COMMAND_LINE).applied


def test_what_is_set_takes_precedence_over_defaults(limits: LimitStore) -> None:
    assert limits.of_tenant("acme").applied == Limits(max_prefixes=7)
    assert change(limits, {"max_prefixes": 3, "weight": 2.5}) == Limits(max_prefixes=3, weight=2.5)
    assert change(limits, {"max_prefixes": UNLIMITED}).max_prefixes == UNLIMITED
    assert change(limits, {"max_prefixes": None}).max_prefixes == 7
    assert limits.of_tenant("acme").set == {"weight": 2.5}
    assert limits.of_tenant("globex").set == {}


@given(st.sampled_from(LIMIT_NAMES), st.floats())
def test_only_values_in_range_are_valid(name: LimitName, value: float) -> None:
    is_valid = value == UNLIMITED or 0 <= value <= 2**53
    if not is_valid:
        with pytest.raises(InvalidLimit, match=name):
            check_limit(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_versions", 0),
        ("max_versions", UNLIMITED),
        ("requests_per_second", 0.001),
        ("weight", 0.01),
    ],
)
def test_values_at_the_ends_of_the_range_are_valid(name: LimitName, value: float) -> None:
    assert check_limit(name, value) == value


@on_sqlite
def test_a_key_knows_its_limits_and_those_of_its_tenant_at_once(
    registry: PrefixRegistry, limits: LimitStore
) -> None:
    keys = ApiKeys(registry.database, {"max_prefixes": 7})
    key = keys.issue("acme", "laptop").key
    identity = keys.authenticate(key)
    assert identity is not None
    assert (identity.limits, identity.key_limits) == (Limits(max_prefixes=7), NO_LIMITS)
    assert keys.recall(key) == identity
    change(limits, {"requests_per_second": 5})
    assert keys.recall(key) is None
    limits.change_key("acme", key.split("_")[1], {"tokens_per_second": 9}, by=COMMAND_LINE)
    changed = keys.authenticate(key)
    assert changed is not None
    assert changed.limits == Limits(max_prefixes=7, requests_per_second=5)
    assert changed.key_limits == Limits(tokens_per_second=9)
    operator = keys.authenticate(keys.issue(None, "operator", role="operator").key)
    assert operator is not None
    assert (operator.limits, operator.key_limits) == (NO_LIMITS, NO_LIMITS)


def test_a_rotated_key_keeps_its_limits(registry: PrefixRegistry, limits: LimitStore) -> None:
    keys = ApiKeys(registry.database)
    old = keys.issue("acme", "laptop").facts.id
    limits.change_key("acme", old, {"tokens_per_second": 9}, by=COMMAND_LINE)
    new = keys.rotate(old, overlap=timedelta(0)).facts.id
    assert limits.of_key("acme", new) == limits.of_key("acme", old) == {"tokens_per_second": 9}


def test_a_change_requires_the_tag_that_it_names(limits: LimitStore) -> None:
    change(limits, {"weight": 2})
    with pytest.raises(LimitsChanged):
        limits.change_tenant("acme", {"weight": 3}, tag=tag_of({}), by=COMMAND_LINE)
    limits.change_tenant("acme", {"weight": 3}, tag=tag_of({"weight": 2.0}), by=COMMAND_LINE)
    assert limits.of_tenant("acme").set == {"weight": 3}


def test_the_key_of_another_tenant_and_a_missing_tenant_are_not_found(
    registry: PrefixRegistry, limits: LimitStore
) -> None:
    key_id = ApiKeys(registry.database).issue("globex", "theirs").facts.id
    with pytest.raises(KeyNotFound):
        limits.of_key("acme", key_id)
    with pytest.raises(KeyNotFound):
        limits.change_key("acme", key_id, {"tokens_per_second": 1}, by=COMMAND_LINE)
    with pytest.raises(TenantNotFound):
        change(limits, {"weight": 2}, tenant="nobody")


@pytest.mark.parametrize(
    ("name", "allowed"), [("max_versions", 3), ("max_prefixes", 3), ("max_stored_bytes", None)]
)
def test_concurrent_publications_cannot_exceed_a_quota(
    registry: PrefixRegistry, limits: LimitStore, name: LimitName, allowed: int | None
) -> None:
    size = publish(registry, "globex", "topic", "x").version.size_bytes
    change(limits, {name: allowed or 3 * size})
    rejected: list[str] = []

    def run(number: int) -> None:
        try:
            publish(registry, "acme", f"task-{number}", str(number))
        except QuotaExceeded as error:
            rejected.append(error.limit)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rejected == [name] * 5
    stored = limits.of_tenant("acme").stored
    assert (stored.versions, stored.prefixes, stored.bytes) == (3, 3, 3 * size)
    assert len(registry.store.digests()) == 4  # nothing of what was rejected


def test_quotas_of_the_settings_apply_to_tenants_without_their_own(tmp_path: Path) -> None:
    registry = open_registry(tmp_path, default_limits={"max_versions": 1})
    for tenant in ("acme", "shop"):
        registry.ensure_tenant(tenant)
    change(LimitStore(registry.database), {"max_versions": 2}, tenant="shop")
    for tenant, allowed in (("acme", 1), ("shop", 2)):
        for number in range(allowed):
            publish(registry, tenant, "topic", str(number))
        with pytest.raises(QuotaExceeded, match=f"`max_versions` is {allowed}"):
            publish(registry, tenant, "topic", "one more")
        publish(registry, tenant, "topic", "0")  # it has these bytes already
    registry.delete_prefix("acme", "topic")
    publish(registry, "acme", "topic", "again")
    registry.close()


def test_a_deleted_task_counts_as_new_when_a_training_starts(
    registry: PrefixRegistry, limits: LimitStore
) -> None:
    publish(registry, "acme", "old", "one")
    registry.delete_prefix("acme", "old")
    publish(registry, "acme", "other", "two")
    change(limits, {"max_prefixes": 1})
    with registry.database.read() as connection:
        check_room(connection, "acme", "other", {})
        with pytest.raises(QuotaExceeded, match="max_prefixes"):
            check_room(connection, "acme", "old", {})


def test_a_purged_tenant_leaves_no_limits(registry: PrefixRegistry, limits: LimitStore) -> None:
    key_id = ApiKeys(registry.database).issue("acme", "laptop").facts.id
    change(limits, {"weight": 2})
    limits.change_key("acme", key_id, {"tokens_per_second": 1}, by=COMMAND_LINE)
    tenants = Tenants(registry.database)
    tenants.delete("acme", by=COMMAND_LINE)
    later = now() + timedelta(seconds=1)
    assert registry.purge_tenant("acme", before=later, by=Actor("retention"))
    tenants.create("acme", is_public=False, by=COMMAND_LINE)
    assert limits.of_tenant("acme").set == {}
