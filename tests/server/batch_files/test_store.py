import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from prefixes.errors import QuotaExceeded
from prefixes.limits import UNLIMITED
from prefixes.registry import (
    COMMAND_LINE,
    ApiKeys,
    LimitStore,
    PrefixRegistry,
    Tenants,
    open_registry,
)
from prefixes.registry.tables import now
from server.batch_files.folders import BatchFolders
from server.batch_files.records import BatchFile, BatchRequest, Checkpoint
from server.batch_files.removal import remove_batch
from server.batch_files.requeueing import requeue_held
from server.batch_files.store import BatchStore
from server.errors import BatchNotFound, BatchRunning, LimitExceeded
from server.job_ids import new_id
from tests.prefixes.holding import hold


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    opened = open_registry(tmp_path)
    for tenant in ("acme", "zoo"):
        opened.ensure_tenant(tenant)
    yield opened
    opened.close()


@pytest.fixture
def store(registry: PrefixRegistry) -> BatchStore:
    return BatchStore(registry.database, max_unfinished_per_tenant=3, default_limits={})


def add(
    store: BatchStore, tenant: str = "acme", *, num_bytes: int = 10, key_id: str | None = None
) -> str:
    batch = new_id()
    request = BatchRequest(tenant, "mood", {"top_k": 1}, "jsonl", key_id)
    store.add(batch, request, num_bytes)
    return batch


def claimed(store: BatchStore) -> BatchFile:
    found = store.claim(hold)
    assert found is not None
    return found


def test_one_file_of_each_tenant_runs_at_a_time_and_tenants_take_turns(store: BatchStore) -> None:
    ids = [add(store), add(store), add(store, "zoo")]
    first, other = claimed(store), claimed(store)
    assert [first.id, other.id, store.claim(hold)] == [ids[0], ids[2], None]
    store.requeue(first)
    first = claimed(store)
    assert first.id == ids[0]  # the oldest of its tenant
    store.requeue(other)
    store.requeue(first)
    other = claimed(store)
    assert other.id == ids[2]  # has waited longer
    assert store.has_waiting()
    store.finish(other, "succeeded")
    first = claimed(store)
    assert first.id == ids[0]
    assert not store.has_waiting()
    store.finish(first, "succeeded")
    assert claimed(store).id == ids[1]


def test_files_of_suspended_tenants_wait(store: BatchStore, registry: PrefixRegistry) -> None:
    batch = add(store)
    tenants = Tenants(registry.database)
    tenants.suspend("acme", by=COMMAND_LINE)
    assert store.claim(hold) is None
    assert store.running_state(store.find("acme", batch)).is_paused
    tenants.resume("acme", by=COMMAND_LINE)
    assert claimed(store).id == batch


def test_files_of_an_ended_lease_are_queued_again_unless_they_were_to_stop(
    store: BatchStore, registry: PrefixRegistry
) -> None:
    kept, stopped = add(store), add(store, "zoo")
    running = claimed(store)
    claimed(store)
    store.save(running, Checkpoint(5, 1, 50, 500), 510)
    assert store.cancel("zoo", stopped).is_cancelling
    with registry.database.write() as connection:
        assert requeue_held(connection, "another", is_taken_over=True) == 0
        assert requeue_held(connection, "test", is_taken_over=True) == 2
    assert store.find("zoo", stopped).state == "cancelled"
    found = claimed(store)
    assert (found.id, found.checkpoint) == (kept, Checkpoint(5, 1, 50, 500))
    assert found.is_taken_over
    store.note_own_folder(found)
    assert not store.find("acme", kept).is_taken_over
    assert found.request == BatchRequest("acme", "mood", {"top_k": 1}, "jsonl")


def test_unfinished_files_of_a_tenant_are_limited(store: BatchStore) -> None:
    first, *_ = [add(store) for _ in range(3)]
    with pytest.raises(LimitExceeded, match="3 unfinished batches"):
        store.check_room("acme")
    store.check_room("zoo")
    store.cancel("acme", first)
    store.check_room("acme")


def test_bytes_count_until_a_file_is_finished_and_its_results_until_it_is_removed(
    store: BatchStore, registry: PrefixRegistry
) -> None:
    limits = LimitStore(registry.database)
    limits.change_tenant("acme", {"max_stored_bytes": 100}, by=COMMAND_LINE)
    with pytest.raises(QuotaExceeded):
        add(store, num_bytes=101)
    add(store, num_bytes=60)
    with pytest.raises(QuotaExceeded):
        add(store, num_bytes=41)
    batch = claimed(store)
    with pytest.raises(QuotaExceeded):
        store.save(batch, Checkpoint(1, 0, 10, 50), 110)
    assert store.find("acme", batch.id).checkpoint.result_bytes == 50
    store.finish(batch, "succeeded")
    add(store, num_bytes=50)
    with pytest.raises(QuotaExceeded):
        add(store, num_bytes=1)


def test_a_running_file_sees_the_limits_of_its_tenant_and_its_key(
    store: BatchStore, registry: PrefixRegistry
) -> None:
    issued = ApiKeys(registry.database).issue("acme", "test")
    key_id = issued.key.split("_")[1]
    batch = add(store, key_id=key_id)
    limits = LimitStore(registry.database)
    limits.change_tenant("acme", {"tokens_per_second": 50}, by=COMMAND_LINE)
    limits.change_key("acme", key_id, {"tokens_per_second": 20}, by=COMMAND_LINE)
    state = store.running_state(store.find("acme", batch))
    assert (state.limits.tokens_per_second, state.key_limits.tokens_per_second) == (50, 20)
    assert state.limits.requests_per_second == UNLIMITED


def test_files_of_other_tenants_are_not_found(store: BatchStore) -> None:
    batch = add(store)
    for call in (store.find, store.cancel):
        with pytest.raises(BatchNotFound):
            call("zoo", batch)
    assert store.list("zoo", before=None, limit=10) == []
    assert [one.id for one in store.list(None, before=None, limit=10)] == [batch]


def test_a_running_file_cannot_be_removed_and_others_lose_their_folder(
    store: BatchStore, tmp_path: Path
) -> None:
    folders = BatchFolders(tmp_path)
    batch = add(store)
    folders.of(batch).make()
    running = claimed(store)
    with pytest.raises(BatchRunning):
        remove_batch(store, folders, batch, tenant="acme")
    assert folders.of(batch).path.exists()
    store.requeue(running)
    remove_batch(store, folders, batch, tenant="acme")
    assert not folders.of(batch).path.exists()
    assert store.ids() == frozenset()


def test_old_files_and_those_of_deleted_tenants_are_removable(
    store: BatchStore, registry: PrefixRegistry
) -> None:
    old, queued, theirs = add(store), add(store), add(store, "zoo")
    store.finish(store.find("acme", old), "succeeded")
    Tenants(registry.database).delete("zoo", by=COMMAND_LINE)
    later, earlier = now() + timedelta(days=1), now() - timedelta(days=1)
    assert store.removable(finished_before=later, deleted_before=earlier) == [old]
    assert store.removable(finished_before=earlier, deleted_before=later) == [theirs]
    assert not registry.purge_tenant("zoo", before=later, by=COMMAND_LINE)
    store.remove(theirs)
    assert registry.purge_tenant("zoo", before=later, by=COMMAND_LINE)
    assert store.find("acme", queued).state == "queued"


def test_folders_without_a_row_go_to_quarantine_and_come_back(tmp_path: Path) -> None:
    folders = BatchFolders(tmp_path)
    folder = folders.of("a1")
    folder.make()
    folders.sweep(frozenset())
    assert folder.path.exists()  # its row may be about to be added
    os.utime(folder.path, (0, 0))
    folders.sweep(frozenset())
    assert not folder.path.exists()
    folders.restore(frozenset({"a1"}))
    assert folder.path.exists()
