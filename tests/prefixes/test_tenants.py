"""Tenants in the registry: their states, their deletion, and the audit log of changes."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from prefixes import PrefixRef
from prefixes.errors import InvalidName, PrefixNotFound, TenantExists, TenantNotFound
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    ApiKeys,
    AuditLog,
    PrefixRegistry,
    Sharing,
    Tenants,
)
from prefixes.registry.audit import AuditFilter
from prefixes.registry.tables import now
from tests.prefixes.conftest import on_postgresql, on_sqlite
from tests.prefixes.publishing import publish

TOPIC = PrefixRef("acme", "topic", alias="live")


@pytest.fixture
def tenants(registry: PrefixRegistry) -> Tenants:
    return Tenants(registry.database)


def actions(registry: PrefixRegistry, **where: Any) -> list[str]:
    events = AuditLog(registry.database).list(AuditFilter(**where), limit=1000)
    return [event.action for event in reversed(events)]


def test_a_tenant_is_created_once_and_only_with_a_valid_name(tenants: Tenants) -> None:
    made = tenants.create("shop", is_public=True, by=COMMAND_LINE)
    assert (made.name, made.is_public, made.state) == ("shop", True, "active")
    with pytest.raises(TenantExists, match="'shop' exists already"):
        tenants.create("shop", is_public=False, by=COMMAND_LINE)
    with pytest.raises(InvalidName):
        tenants.create("two words", is_public=False, by=COMMAND_LINE)


def test_tenants_are_listed_in_pages_by_name(tenants: Tenants) -> None:
    assert [tenant.name for tenant in tenants.list(limit=2)] == ["acme", "examples"]
    assert [tenant.name for tenant in tenants.list(after="examples", limit=2)] == ["globex"]
    assert len(tenants.list()) == 3


def test_the_prefixes_of_a_suspended_or_deleted_tenant_are_hidden_from_others(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    publish(registry, "examples", "mood", "one")
    mood = PrefixRef("examples", "mood", alias="live")
    for change in (tenants.suspend, tenants.delete):
        for reader in ("acme", None):
            registry.version(mood, reader=reader)
        change("examples", by=COMMAND_LINE)
        for reader in ("acme", None):
            assert registry.recall([mood], reader=reader) is None
            with pytest.raises(PrefixNotFound):
                registry.version(mood, reader=reader)
            assert registry.list_prefixes(reader=reader) == ()
        assert registry.public_example() is None
        assert registry.version(mood, reader="examples").number == 1
        assert tenants.resume("examples", by=COMMAND_LINE).state == "active"


def test_a_change_to_the_present_state_adds_no_event(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    before = actions(registry)
    tenants.resume("acme", by=COMMAND_LINE)
    tenants.set_public("acme", is_public=False, by=COMMAND_LINE)
    assert actions(registry) == before
    for _ in range(2):
        tenants.suspend("acme", by=COMMAND_LINE)
    for _ in range(2):
        tenants.delete("acme", by=COMMAND_LINE)
    assert actions(registry) == [*before, "tenant.suspend", "tenant.delete"]


def test_nothing_new_is_made_for_a_deleted_tenant(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    tenants.delete("acme", by=COMMAND_LINE)
    with pytest.raises(TenantNotFound, match="'acme' is deleted"):
        ApiKeys(registry.database).issue("acme", "late")
    with pytest.raises(TenantNotFound, match="'acme' is deleted"):
        publish(registry, "acme", "topic", "one")
    assert registry.store.digests() == frozenset()


def test_unknown_tenants_are_named(tenants: Tenants) -> None:
    for change in (tenants.suspend, tenants.resume, tenants.delete):
        with pytest.raises(TenantNotFound, match="'nobody'"):
            change("nobody", by=COMMAND_LINE)


def purge(registry: PrefixRegistry, name: str, *, after: timedelta = timedelta(0)) -> bool:
    return registry.purge_tenant(name, before=now() - after, by=Actor("retention"))


def test_a_deleted_tenant_is_removed_after_its_grace_period_with_all_that_it_owns(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    publish(registry, "acme", "topic", "one")
    ApiKeys(registry.database).issue("acme", "laptop")
    assert not purge(registry, "acme")
    tenants.delete("acme", by=COMMAND_LINE)
    assert not purge(registry, "acme", after=timedelta(days=1))
    assert tenants.deleted_before(now()) == ("acme",)
    assert purge(registry, "acme")
    with pytest.raises(TenantNotFound):
        tenants.find("acme")
    assert registry.store.digests() == frozenset()
    assert actions(registry, tenant="acme")[-2:] == ["tenant.delete", "tenant.purge"]


def test_a_new_tenant_with_the_name_of_a_removed_one_gets_nothing_of_it(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    keys, sharing = ApiKeys(registry.database), Sharing(registry.database)
    key = keys.issue("globex", "old").key
    publish(registry, "globex", "topic", "two")
    publish(registry, "acme", "topic", "one")
    sharing.add("acme", "topic", "globex", by=COMMAND_LINE)
    assert registry.version(TOPIC, reader="globex").number == 1
    tenants.delete("globex", by=COMMAND_LINE)
    assert purge(registry, "globex")
    tenants.create("globex", is_public=False, by=COMMAND_LINE)
    assert keys.authenticate(key) is None
    assert registry.list_prefixes(reader="globex") == ()
    assert sharing.readers("acme", "topic").tenants == ()


def test_the_bytes_that_another_tenant_has_too_survive_a_removal(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    publish(registry, "globex", "topic", "the same")
    version = publish(registry, "acme", "topic", "the same").version
    tenants.delete("globex", by=COMMAND_LINE)
    assert purge(registry, "globex")
    assert len(registry.read(version.digest)) == version.size_bytes


def test_an_event_has_what_changed_and_who_changed_it(
    registry: PrefixRegistry, tenants: Tenants
) -> None:
    _, key_id, _ = ApiKeys(registry.database).issue(None, "", role="operator").key.split("_", 2)
    tenants.set_public("acme", is_public=True, by=Actor("operator 1", key_id, "request"))
    (event,) = AuditLog(registry.database).list(AuditFilter(action="tenant.update"), limit=9)
    assert (event.tenant, event.object) == ("acme", "acme")
    assert (event.actor, event.key_id, event.request_id) == ("operator 1", key_id, "request")
    assert (event.before, event.after) == ('{"is_public": false}', '{"is_public": true}')


def test_events_are_given_in_pages_and_filtered_by_time(registry: PrefixRegistry) -> None:
    log = AuditLog(registry.database)
    for number in range(600):
        registry.ensure_tenant("acme", is_public=number % 2 == 0)
    events = log.list(AuditFilter(), limit=1000)
    pages = list(log.pages(AuditFilter()))
    assert [len(page) for page in pages] == [500, len(events) - 500]
    assert [event for page in pages for event in page] == list(events)
    middle = events[10].at
    since = log.list(AuditFilter(since=middle), limit=1000)
    until = log.list(AuditFilter(until=middle), limit=1000)
    assert (*since, *until) == events


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET actor = 'x'",
        "DELETE FROM audit_events",
        "REPLACE INTO audit_events SELECT * FROM audit_events",
        (
            "INSERT INTO audit_events SELECT * FROM audit_events WHERE true "
            "ON CONFLICT DO UPDATE SET actor = 'x'"
        ),
    ],
)
@on_sqlite
def test_the_database_rejects_changes_of_events(registry: PrefixRegistry, change: str) -> None:
    registry.ensure_tenant("shop")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        registry.database.write() as connection,
    ):
        connection.exec_driver_sql(change)


@on_postgresql
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET actor = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        (
            "INSERT INTO audit_events SELECT * FROM audit_events "
            "ON CONFLICT (id) DO UPDATE SET actor = 'x'"
        ),
    ],
)
def test_postgresql_rejects_changes_of_events(registry: PrefixRegistry, change: str) -> None:
    registry.ensure_tenant("shop")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        registry.database.write() as connection,
    ):
        connection.exec_driver_sql(change)


@pytest.mark.parametrize("role", ["'operator'", "'admin'"])
def test_the_database_rejects_a_key_whose_role_does_not_fit_its_owner(
    registry: PrefixRegistry, role: str
) -> None:
    keys = ApiKeys(registry.database)
    keys.issue("acme", "laptop")
    keys.issue(None, "operator", role="operator")
    with (
        pytest.raises(IntegrityError, match="ck_api_keys_operator"),
        registry.database.write() as connection,
    ):
        connection.exec_driver_sql(f"UPDATE api_keys SET role = {role}")
