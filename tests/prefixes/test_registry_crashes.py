import json
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from prefixes import Prefix
from prefixes.registry import ApiKeys, AuditLog, LimitStore, PrefixRegistry, open_registry
from prefixes.registry.audit import AuditFilter
from tests.prefixes import publishing
from tests.prefixes.conftest import on_sqlite
from tests.prefixes.publishing import (
    change_keys_until_killed,
    change_lifecycle_until_killed,
    publish,
    publish_and_delete,
    publish_some,
    publish_until_killed,
)

NUM_KILLS = 12


@pytest.fixture(scope="module")
def start() -> Callable[..., tuple[BaseProcess, Connection]]:
    """Start a function in a process of its own; its last argument is where it answers."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([publishing.__name__])

    def start_process(
        function: Callable[..., None], *arguments: object
    ) -> tuple[BaseProcess, Connection]:
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=function, args=(*arguments, sending))
        process.start()
        sending.close()  # the child's end alone stays open: it closes when the child dies
        return process, receiving

    return start_process


def received_until_closed(connection: Connection) -> list[Any]:
    messages = []
    try:
        while True:
            messages.append(connection.recv())
    except EOFError:
        return messages


def check_whole(registry: PrefixRegistry, acknowledged: dict[int, str]) -> None:
    """Every acknowledged version is there, and everything that is there is complete."""
    entry = registry.show("acme", "topic", reader="acme")
    digests = {version.number: version.digest for version in entry.versions}
    assert acknowledged.items() <= digests.items()
    for version in entry.versions:
        data = registry.store.get(version.digest)
        assert len(data) == version.size_bytes
        assert Prefix.from_bytes(data).spec == registry.spec(version.digest)
    (_, newest) = entry.aliases
    assert newest.version == max(digests)


def test_a_killed_publisher_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    tmp_path: Path, start: Callable[..., tuple[BaseProcess, Connection]]
) -> None:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    acknowledged: dict[int, str] = {}
    for kill in range(NUM_KILLS):
        process, answers = start(publish_until_killed, tmp_path, f"publisher {kill}")
        acknowledged.update([answers.recv()])
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.join()
        acknowledged.update(received_until_closed(answers))
        check_whole(registry, acknowledged)
    assert len(acknowledged) >= NUM_KILLS
    registry.sweep(older_than_seconds=0)
    entry = registry.show("acme", "topic", reader="acme")
    assert registry.store.digests() == {version.digest for version in entry.versions}
    assert list((tmp_path / "staging").iterdir()) == []
    registry.close()


def test_a_killed_change_of_a_key_or_tenant_is_whole_and_has_its_event(
    tmp_path: Path, start: Callable[..., tuple[BaseProcess, Connection]]
) -> None:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    keys, log = ApiKeys(registry.database), AuditLog(registry.database)
    told: list[tuple[str, str]] = []
    for _ in range(NUM_KILLS):
        process, answers = start(change_keys_until_killed, tmp_path)
        told.append(answers.recv())
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.join()
        told += received_until_closed(answers)
    found = {key.id: key for key in keys.list("acme")}
    assert {name for what, name in told if what == "issued"} <= found.keys()
    assert all(found[name].replaced_by in found for what, name in told if what == "replaced")
    assert all(found[name].revoked_at for what, name in told if what == "revoked")
    events = [event for page in log.pages(AuditFilter(tenant="acme")) for event in page]
    by_action: dict[str, set[str]] = defaultdict(set)
    for event in events:
        by_action[event.action].add(event.object)
    assert by_action["key.issue"] == found.keys()
    assert by_action["key.rotate"] == {key.id for key in found.values() if key.replaced_by}
    assert by_action["key.revoke"] == {key.id for key in found.values() if key.revoked_at}
    limits = LimitStore(registry.database).of_tenant("acme").set
    assert limits["max_versions"] == limits["max_prefixes"]
    assert limits["max_versions"] >= max(int(name) for what, name in told if what == "limited")
    last_limits = next(event for event in events if event.action == "tenant.limits")
    assert json.loads(last_limits.after or "") == limits
    last = next(event for event in events if event.action in {"tenant.suspend", "tenant.resume"})
    is_suspended = last.action == "tenant.suspend"
    assert (registry.tenant("acme").state == "suspended") == is_suspended
    registry.close()


def test_acknowledged_moves_canaries_and_deletions_survive_kill_9(
    tmp_path: Path, start: Callable[..., tuple[BaseProcess, Connection]]
) -> None:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    for text in ("a", "b", "c"):
        publish(registry, "acme", "topic", text)
    told: Counter[str] = Counter()
    for _ in range(NUM_KILLS):
        process, answers = start(change_lifecycle_until_killed, tmp_path)
        told[answers.recv()] += 1
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.join()
        told.update(received_until_closed(answers))
        check_lifecycle(registry)
    events = AuditLog(registry.database).pages(AuditFilter(tenant="acme"))
    found = Counter(event.action for page in events for event in page)
    (alias,) = registry.show("acme", "topic", reader="acme").aliases
    found += Counter(move.kind for move in alias.moves)
    missing = {what: (number, found[what]) for what, number in told.items() if found[what] < number}
    assert not missing
    registry.close()


def check_lifecycle(registry: PrefixRegistry) -> None:
    """The alias, its canary and the deleted version are as the last row about each says."""
    entry = registry.show("acme", "topic", reader="acme")
    (alias,) = entry.aliases
    last = alias.moves[-1]
    assert (alias.canary is not None) == (last.kind == "canary")
    assert alias.version == (last.from_version if alias.canary else last.to_version)
    if alias.canary is not None:
        assert (alias.canary.plan.version, alias.canary.plan.percent) == (2, last.percent)
    where = AuditFilter(object="acme/topic@3")
    (event,) = AuditLog(registry.database).list(where, limit=1)
    is_deleted = event.action == "version.delete"
    assert [version.number for version in entry.versions] == ([1, 2] if is_deleted else [1, 2, 3])
    deleted = registry.deleted("acme")[1]
    assert [version.number for version in deleted] == ([3] if is_deleted else [])


def test_two_processes_share_a_folder_from_the_first_moment(
    tmp_path: Path, start: Callable[..., tuple[BaseProcess, Connection]]
) -> None:
    texts = [[f"{name} {count}" for count in range(10)] + ["shared"] for name in ("left", "right")]
    publishers = [start(publish_some, tmp_path, own) for own in texts]
    numbers = [number for _, answers in publishers for number in answers.recv()]
    for process, _ in publishers:
        process.join()
    assert sorted(set(numbers)) == list(range(1, 22))
    assert len(numbers) == 22
    registry = open_registry(tmp_path)
    assert len(registry.show("acme", "topic", reader="acme").versions) == 21
    registry.close()


@on_sqlite
def test_deleting_never_takes_bytes_that_somebody_publishes_at_the_same_time(
    registry: PrefixRegistry,
    tmp_path: Path,
    start: Callable[..., tuple[BaseProcess, Connection]],
) -> None:
    folder = tmp_path / "registry"
    both = [start(publish_and_delete, folder, task, 20) for task in ("left", "right")]
    assert [answers.recv() for _, answers in both] == [20, 20]
    for process, _ in both:
        process.join()
    assert registry.store.digests() == frozenset()
