from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from prefixes.errors import QuotaExceeded, TenantNotFound
from prefixes.limits import LIMIT_NAMES
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    ApiKeys,
    LimitStore,
    PrefixRegistry,
    Tenants,
    UsageLog,
    open_registry,
)
from prefixes.registry.tables import now
from prefixes.registry.usage import UsageFilter
from server.errors import LimitExceeded, Overloaded, TrainingNotFound
from server.job_ids import new_id
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.purging import purge_tenants
from server.training_jobs.records import JobRequest, TrainingJob
from server.training_jobs.requeueing import requeue_held
from server.training_jobs.store import TrainingStore
from server.training_jobs.tenant_limits import seconds_until_below
from tests.prefixes.holding import hold


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[PrefixRegistry]:
    opened = open_registry(tmp_path)
    for tenant in ("acme", "zoo"):
        opened.ensure_tenant(tenant)
    yield opened
    opened.close()


@pytest.fixture
def store(registry: PrefixRegistry) -> TrainingStore:
    return TrainingStore(
        registry.database,
        max_queued=3,
        max_kept_per_tenant=100,
        default_limits={"max_queued_trainings": 2},
    )


def add(store: TrainingStore, tenant: str = "acme", number: int = 0) -> str:
    training_id = f"{number:08x}{new_id()}"
    store.add(training_id, JobRequest(tenant, "mood", "live", 0.0, {"epochs": 2}))
    return training_id


def claimed(store: TrainingStore) -> TrainingJob:
    found = store.claim(hold)
    assert found is not None
    return found


def test_trainings_run_in_the_order_of_their_requests(store: TrainingStore) -> None:
    ids = [add(store, number=1), add(store, "zoo", number=2)]
    assert [claimed(store).id, claimed(store).id] == ids
    assert store.claim(hold) is None
    assert store.num_in("running") == 2


def test_queued_trainings_are_limited_for_each_tenant_and_for_all_together(
    store: TrainingStore,
) -> None:
    add(store)
    add(store)
    with pytest.raises(LimitExceeded, match="max_queued_trainings"):
        add(store)
    add(store, "zoo")
    with pytest.raises(Overloaded) as full:
        store.check_queue("zoo")
    assert full.value.retry_after_seconds > 0


def test_a_training_of_another_tenant_is_not_found(store: TrainingStore) -> None:
    mine = add(store)
    with pytest.raises(TrainingNotFound) as theirs:
        store.find("zoo", mine)
    with pytest.raises(TrainingNotFound):
        store.cancel("zoo", mine)
    with pytest.raises(TrainingNotFound) as none:
        store.find("acme", "f" * 24)
    assert str(theirs.value).replace(mine, "") == str(none.value).replace("f" * 24, "")
    assert store.list("zoo", before=None, limit=10) == []


def test_pages_are_sorted_from_newest_to_oldest(store: TrainingStore) -> None:
    first, second = add(store, number=1), add(store, number=2)
    (page,) = store.list("acme", before=None, limit=1)
    assert page.id == second
    assert [one.id for one in store.list("acme", before=second, limit=9)] == [first]


def test_a_queued_training_is_cancelled_at_once_and_a_running_one_is_told_to_stop(
    store: TrainingStore,
) -> None:
    running, waiting = add(store, number=1), add(store, number=2)
    job = claimed(store)
    assert store.cancel("acme", waiting).state == "cancelled"
    assert store.cancel("acme", running).state == "running"
    assert store.is_cancelling(job)
    assert store.claim(hold) is None


def test_trainings_of_an_ended_lease_are_queued_again_unless_they_are_cancelled(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    kept, cancelled = add(store, number=1), add(store, number=2)
    store.claim(hold)
    store.claim(hold)
    store.cancel("acme", cancelled)
    with registry.database.write() as connection:
        assert requeue_held(connection, "another", is_taken_over=True) == 0
        assert requeue_held(connection, "test", is_taken_over=False) == 2
    assert store.find("acme", kept).state == "queued"
    assert store.find("acme", cancelled).state == "cancelled"


def test_only_old_finished_trainings_are_removed(store: TrainingStore) -> None:
    ended, waiting = add(store, number=1), add(store, number=2)
    store.finish(claimed(store), "failed", problem={"code": "data_rejected"})
    store.remove(store.finished_before(now() - timedelta(days=1)))
    assert store.ids() == {ended, waiting}
    store.remove(store.finished_before(now() + timedelta(days=1)))
    assert store.ids() == {waiting}


def test_queued_trainings_of_a_suspended_tenant_wait(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    tenants = Tenants(registry.database)
    mine, theirs = add(store, number=1), add(store, "zoo", number=2)
    tenants.suspend("acme", by=COMMAND_LINE)
    assert claimed(store).id == theirs
    assert store.claim(hold) is None
    tenants.resume("acme", by=COMMAND_LINE)
    assert claimed(store).id == mine


def test_deleting_a_tenant_cancels_its_trainings_and_no_others(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    running, queued, theirs = add(store, number=1), add(store, number=2), add(store, "zoo", 3)
    job = claimed(store)
    Tenants(registry.database).delete("acme", by=COMMAND_LINE)
    assert job.id == running
    assert store.is_cancelling(job)
    assert store.find("acme", queued).state == "cancelled"
    assert store.find("zoo", theirs).state == "queued"
    with pytest.raises(TenantNotFound):
        add(store)


def test_a_deleted_tenant_is_removed_once_its_trainings_have_stopped(
    store: TrainingStore, registry: PrefixRegistry, tmp_path: Path
) -> None:
    tenants, folders = Tenants(registry.database), TrainingFolders(tmp_path)
    running, queued = add(store, number=1), add(store, number=2)
    job = claimed(store)
    for training in (running, queued):
        folders.of(training).path.mkdir(parents=True)
    tenants.delete("acme", by=COMMAND_LINE)
    purge_tenants(registry, store, folders, now())
    assert tenants.find("acme").state == "deleted"
    assert not folders.of(queued).path.exists()
    store.finish(job, "cancelled")
    purge_tenants(registry, store, folders, now() - timedelta(days=1))
    assert tenants.find("acme").state == "deleted"
    purge_tenants(registry, store, folders, now())
    with pytest.raises(TenantNotFound):
        tenants.find("acme")
    assert not folders.of(running).path.exists()
    assert tenants.find("zoo").state == "active"


def set_limits(registry: PrefixRegistry, tenant: str = "acme", **limits: float) -> None:
    changes = {name: limits.get(name) for name in LIMIT_NAMES if name in limits}
    LimitStore(registry.database).change_tenant(tenant, changes, by=COMMAND_LINE)


def test_a_tenant_at_its_limit_of_running_trainings_lets_others_run(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    set_limits(registry, max_running_trainings=1)
    first, second, other = (
        add(store, number=1),
        add(store, number=2),
        add(store, "zoo", number=3),
    )
    running = claimed(store)
    assert (running.id, claimed(store).id, store.claim(hold)) == (first, other, None)
    store.finish(running, "succeeded")
    assert claimed(store).id == second


def test_a_tenant_that_has_used_up_its_cpu_time_waits_for_the_next_day(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    set_limits(registry, training_cpu_seconds_per_day=100)
    add(store)
    job = claimed(store)
    assert store.add_cpu_time(job, 60)
    assert not store.add_cpu_time(job, 40)
    store.requeue(job)
    assert store.claim(hold) is None
    with pytest.raises(LimitExceeded) as error:
        store.check_queue("acme")
    assert error.value.limit == "training_cpu_seconds_per_day"
    assert 23 * 3600 - 1 < error.value.retry_after_seconds <= 24 * 3600
    store.check_queue("zoo")
    add(store, "zoo", number=2)
    assert store.add_cpu_time(claimed(store), 1e9)  # no limit
    set_limits(registry, training_cpu_seconds_per_day=101)
    assert store.claim(hold) is not None


def test_cpu_time_counts_for_the_task_and_for_the_key_that_started_the_training(
    registry: PrefixRegistry, store: TrainingStore
) -> None:
    add(store, number=1)
    store.finish(claimed(store), "failed", cpu_seconds=3.0)
    request = JobRequest("acme", "mood", "live", 0.0, {})
    key = ApiKeys(registry.database).issue("acme", "trainer", role="upload").facts
    for _ in range(2):
        store.add(new_id(), request, by=Actor("acme", key_id=key.id))
        store.finish(claimed(store), "succeeded", cpu_seconds=2.5)
    usage = UsageLog(registry.database)
    (of_task,) = usage.list(UsageFilter(), limit=9)
    (of_key,) = usage.list(UsageFilter(by="key"), limit=9)
    assert (of_task.task, of_task.training_cpu_seconds) == ("acme/mood", 8.0)
    assert (of_key.tenant, of_key.key_id) == ("acme", key.id)
    assert (of_key.training_cpu_seconds, of_key.requests) == (5.0, 0)


def test_cpu_time_is_free_again_when_enough_of_it_is_a_day_old() -> None:
    used = [(100, 50.0), (110, 30.0), (111, 30.0)]
    now = 112 * 3600.0
    assert seconds_until_below(used, 111, now) == 0
    assert seconds_until_below(used, 110, now) == 12 * 3600
    assert seconds_until_below(used, 60, now) == 22 * 3600
    assert seconds_until_below(used, 20, now) == 23 * 3600
    assert seconds_until_below([], 1, now) == 0


def test_a_requeued_training_is_claimed_again_unless_it_is_cancelled(store: TrainingStore) -> None:
    training = add(store)
    for _ in range(2):
        job = claimed(store)
        assert job.id == training
        store.requeue(job)
    job = claimed(store)
    store.cancel("acme", training)
    store.requeue(job)
    assert store.find("acme", training).state == "cancelled"


def test_a_full_tenant_can_queue_no_training(
    store: TrainingStore, registry: PrefixRegistry
) -> None:
    set_limits(registry, max_prefixes=0)
    store.check_queue("acme")  # the task is not known yet
    with pytest.raises(QuotaExceeded, match="max_prefixes"):
        add(store)
    set_limits(registry, max_prefixes=1)
    add(store)
