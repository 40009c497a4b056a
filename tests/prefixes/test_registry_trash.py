"""Deleting, restoring and removing versions and tasks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from prefixes import PrefixRef
from prefixes.errors import PrefixExists, PrefixNotFound, VersionInUse
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    AuditLog,
    Canaries,
    CanaryPlan,
    PrefixRegistry,
    Sharing,
    Tenants,
    open_registry,
)
from prefixes.registry.audit import AuditFilter
from prefixes.registry.tables import now
from tests.prefixes.publishing import publish

BOB = Actor("bob")
LIVE = PrefixRef("acme", "topic", alias="live")
DAY = timedelta(days=1)


def numbers(registry: PrefixRegistry) -> list[int]:
    return [version.number for version in registry.show("acme", "topic", reader="acme").versions]


def test_a_deleted_version_is_hidden_and_comes_back_unchanged(topic: PrefixRegistry) -> None:
    before = topic.show("acme", "topic", reader="acme")
    second = PrefixRef("acme", "topic", version=2)
    topic.delete_version("acme", "topic", 2, by=BOB)
    assert numbers(topic) == [1, 3]
    with pytest.raises(PrefixNotFound):
        topic.version(second, reader="acme")
    with pytest.raises(PrefixNotFound):
        topic.promote("acme", "topic", "live", 2, by=BOB)
    assert before.versions[1].digest in topic.store.digests()
    restored = topic.restore_version("acme", "topic", 2, by=BOB)
    assert restored == before.versions[1]
    assert topic.show("acme", "topic", reader="acme") == before


def test_a_version_in_use_is_not_deleted(topic: PrefixRegistry) -> None:
    Canaries(topic.database).set("acme", "topic", "live", CanaryPlan(2, 5), by=BOB)
    for number in (1, 2):
        with pytest.raises(VersionInUse):
            topic.delete_version("acme", "topic", number, by=BOB)
    assert numbers(topic) == [1, 2, 3]


def test_what_is_not_deleted_is_not_restored(topic: PrefixRegistry) -> None:
    for number in (1, 9, 10**30):
        with pytest.raises(PrefixNotFound):
            topic.restore_version("acme", "topic", number, by=BOB)
    with pytest.raises(PrefixNotFound):
        topic.restore_prefix("acme", "topic", by=BOB)
    with pytest.raises(PrefixNotFound):
        topic.restore_prefix("acme", "nosuch", by=BOB)
    assert numbers(topic) == [1, 2, 3]


def test_uploading_the_bytes_of_a_deleted_version_restores_it(topic: PrefixRegistry) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    again = publish(topic, "acme", "topic", "b", alias="next")
    assert (again.version.number, again.is_new) == (2, False)
    assert numbers(topic) == [1, 2, 3]
    assert topic.version(PrefixRef("acme", "topic", alias="next"), reader="acme").number == 2


def test_a_deleted_task_is_hidden_and_comes_back_unchanged(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "live", 3, by=BOB)
    Canaries(topic.database).set("acme", "topic", "live", CanaryPlan(2, 5), by=BOB)
    sharing = Sharing(topic.database)
    sharing.add("acme", "topic", "globex", by=BOB)
    sharing.set_public("acme", "topic", is_public=True, by=BOB)
    before = topic.show("acme", "topic", reader="acme")
    topic.delete_prefix("acme", "topic", by=BOB)
    for reader in ("acme", "globex", None):
        assert topic.list_prefixes(reader=reader) == ()
        with pytest.raises(PrefixNotFound):
            topic.resolve([LIVE], reader=reader)
    assert topic.public_example() is None
    topic.restore_prefix("acme", "topic", by=BOB)
    assert topic.show("acme", "topic", reader="acme") == before
    assert sharing.readers("acme", "topic").tenants == ("globex",)
    assert topic.version(LIVE, reader=None).number == 3
    assert topic.rollback("acme", "topic", "live", by=BOB) == 1


def test_a_new_task_with_the_name_of_a_deleted_one_shares_nothing_with_it(
    topic: PrefixRegistry,
) -> None:
    sharing = Sharing(topic.database)
    sharing.set_public("acme", "topic", is_public=True, by=BOB)
    topic.delete_prefix("acme", "topic", by=BOB)
    fresh = publish(topic, "acme", "topic", "a").version
    assert fresh.number == 4
    entry = topic.show("acme", "topic", reader="acme")
    assert [len(alias.moves) for alias in entry.aliases] == [1]
    assert not sharing.readers("acme", "topic").is_public
    with pytest.raises(PrefixExists, match="acme/topic cannot be restored"):
        topic.restore_prefix("acme", "topic", by=BOB)
    topic.delete_prefix("acme", "topic", by=BOB)
    topic.restore_prefix("acme", "topic", by=BOB)  # the last deleted
    assert numbers(topic) == [4]


def test_numbers_are_not_reused_after_a_restored_task(topic: PrefixRegistry) -> None:
    topic.delete_prefix("acme", "topic", by=BOB)
    publish(topic, "acme", "topic", "d")
    topic.delete_prefix("acme", "topic", by=BOB)
    topic.remove_prefix("acme", "topic", by=BOB)
    assert publish(topic, "acme", "topic", "a").version.number == 5


def test_removing_is_permanent_and_frees_the_bytes(topic: PrefixRegistry) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    topic.remove_version("acme", "topic", 2, by=BOB)
    topic.remove_version("acme", "topic", 3, by=BOB)
    assert len(topic.store.digests()) == 1
    with pytest.raises(PrefixNotFound):
        topic.restore_version("acme", "topic", 2, by=BOB)
    topic.delete_prefix("acme", "topic", by=BOB)
    assert len(topic.store.digests()) == 1
    topic.remove_prefix("acme", "topic", by=BOB)
    assert topic.store.digests() == frozenset()
    with pytest.raises(PrefixNotFound):
        topic.remove_prefix("acme", "topic", by=BOB)


def test_removing_a_version_that_is_in_use_is_refused(topic: PrefixRegistry) -> None:
    with pytest.raises(VersionInUse):
        topic.remove_version("acme", "topic", 1, by=BOB)
    with pytest.raises(PrefixNotFound):
        topic.remove_version("acme", "topic", 9, by=BOB)


def test_bytes_stay_while_any_version_has_them(topic: PrefixRegistry) -> None:
    publish(topic, "globex", "topic", "b")
    topic.remove_version("acme", "topic", 2, by=BOB)
    assert len(topic.store.digests()) == 3
    topic.delete_prefix("globex", "topic", by=BOB)
    assert topic.purge_deleted(before=now() - DAY, by=BOB) == 0
    assert len(topic.store.digests()) == 3
    assert topic.purge_deleted(before=now() + DAY, by=BOB) == 1
    assert len(topic.store.digests()) == 2


def test_the_grace_period_counts_from_the_deletion(topic: PrefixRegistry) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    moment = now()
    topic.delete_version("acme", "topic", 3, by=BOB)
    assert topic.purge_deleted(before=moment, by=BOB) == 1
    _, (left,) = topic.deleted("acme")
    assert (left.task, left.number) == ("topic", 3)
    topic.restore_version("acme", "topic", 3, by=BOB)
    assert topic.purge_deleted(before=now() + DAY, by=BOB) == 0
    assert numbers(topic) == [1, 3]


def test_what_can_be_restored_is_listed(topic: PrefixRegistry) -> None:
    publish(topic, "acme", "mood", "a")
    publish(topic, "globex", "topic", "a")
    topic.delete_version("acme", "topic", 3, by=BOB)
    topic.delete_prefix("acme", "mood", by=BOB)
    topic.delete_prefix("globex", "topic", by=BOB)
    (task,), (version,) = topic.deleted("acme")
    assert (task.tenant, task.task) == ("acme", "mood")
    assert (version.task, version.number) == ("topic", 3)
    assert task.deleted_at - version.deleted_at < DAY
    topic.delete_prefix("acme", "topic", by=BOB)
    tasks, versions = topic.deleted("acme")
    assert [one.task for one in tasks] == ["topic", "mood"]
    assert versions == ()


def test_a_deleted_version_of_a_deleted_task_can_be_restored_after_it(
    topic: PrefixRegistry,
) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    topic.delete_prefix("acme", "topic", by=BOB)
    with pytest.raises(PrefixNotFound):
        topic.restore_version("acme", "topic", 2, by=BOB)
    topic.restore_prefix("acme", "topic", by=BOB)
    topic.restore_version("acme", "topic", 2, by=BOB)
    assert numbers(topic) == [1, 2, 3]


def test_deleted_bytes_survive_a_restart_and_its_sweep(
    topic: PrefixRegistry, tmp_path: Path, database_url: str | None
) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    publish(topic, "acme", "mood", "d")
    topic.delete_prefix("acme", "mood", by=BOB)
    topic.close()
    again = open_registry(tmp_path / "registry", database_url=database_url)
    assert again.sweep(older_than_seconds=-1) == 0
    again.restore_version("acme", "topic", 2, by=BOB)
    again.restore_prefix("acme", "mood", by=BOB)
    for ref in (PrefixRef("acme", "topic", version=2), PrefixRef("acme", "mood", version=1)):
        assert again.read(again.version(ref, reader="acme").digest)
    again.close()


def test_a_purged_tenant_takes_its_deleted_prefixes_along(topic: PrefixRegistry) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    publish(topic, "acme", "mood", "d")
    topic.delete_prefix("acme", "mood", by=BOB)
    Tenants(topic.database).delete("acme", by=BOB)
    assert topic.purge_tenant("acme", before=datetime.now(UTC) + DAY, by=BOB)
    assert topic.store.digests() == frozenset()


def test_the_audit_log_records_every_change(topic: PrefixRegistry) -> None:
    topic.delete_version("acme", "topic", 2, by=BOB)
    topic.restore_version("acme", "topic", 2, by=BOB)
    topic.delete_version("acme", "topic", 2, by=BOB)
    topic.purge_deleted(before=now() + DAY, by=COMMAND_LINE)
    topic.delete_prefix("acme", "topic", by=BOB)
    topic.restore_prefix("acme", "topic", by=BOB)
    topic.remove_prefix("acme", "topic", by=BOB)
    events = AuditLog(topic.database).list(AuditFilter(tenant="acme"), limit=7)
    assert [(event.action, event.object, event.actor) for event in reversed(events)] == [
        ("version.delete", "acme/topic@2", "bob"),
        ("version.restore", "acme/topic@2", "bob"),
        ("version.delete", "acme/topic@2", "bob"),
        ("version.purge", "acme/topic@2", "command line"),
        ("prefix.delete", "acme/topic", "bob"),
        ("prefix.restore", "acme/topic", "bob"),
        ("prefix.purge", "acme/topic", "bob"),
    ]


def test_only_published_digests_count_as_used(topic: PrefixRegistry) -> None:
    digests = [one.digest for one in topic.show("acme", "topic", reader="acme").versions]
    topic.delete_version("acme", "topic", 2, by=BOB)
    assert topic.unpublished([*digests, "f" * 64]) == {digests[1], "f" * 64}
    topic.delete_prefix("acme", "topic", by=BOB)
    assert topic.unpublished(digests) == set(digests)
