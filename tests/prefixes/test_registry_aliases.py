from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from prefixes import PrefixRef
from prefixes.errors import (
    InvalidName,
    NothingToRollBack,
    PrefixExists,
    PrefixNotFound,
    VersionInUse,
)
from prefixes.registry import Actor, Alias, PrefixRegistry
from tests.prefixes.publishing import publish, tiny_prefix


def alias_of(registry: PrefixRegistry, name: str = "live") -> Alias:
    entry = registry.show("acme", "topic", reader="acme")
    return next(alias for alias in entry.aliases if alias.name == name)


def test_promoting_points_an_alias_to_a_version(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "live", 3, by=Actor("bob"))
    assert alias_of(topic).version == 3
    assert topic.version(PrefixRef("acme", "topic", alias="live"), reader="acme").number == 3


def test_promoting_makes_an_alias_that_is_missing(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "canary", 2, by=Actor("bob"))
    assert alias_of(topic, "canary").version == 2
    assert alias_of(topic).version == 1


def test_an_alias_is_replaced_only_where_it_points_to_what_was_expected(
    topic: PrefixRegistry,
) -> None:
    assert alias_of(topic).version == 1
    assert not topic.replace("acme", "topic", "live", 3, instead_of=2, by=Actor("bob"))
    assert not topic.replace("acme", "topic", "live", 3, instead_of=None, by=Actor("bob"))
    assert alias_of(topic).version == 1
    assert topic.replace("acme", "topic", "live", 3, instead_of=1, by=Actor("bob"))
    assert topic.replace("acme", "topic", "canary", 2, instead_of=None, by=Actor("bob"))
    assert (alias_of(topic).version, alias_of(topic, "canary").version) == (3, 2)


def test_the_history_says_who_moved_an_alias_when_from_where_and_whether_it_was_undone(
    topic: PrefixRegistry,
) -> None:
    topic.promote("acme", "topic", "live", 3, by=Actor("bob"))
    topic.rollback("acme", "topic", "live", by=Actor("eve"))
    moves = alias_of(topic).moves
    told = [(m.kind, m.from_version, m.to_version, m.moved_by, m.is_undone) for m in moves]
    assert told == [
        ("publish", None, 1, "ada", False),
        ("promote", 1, 3, "bob", True),
        ("rollback", 3, 1, "eve", False),
    ]
    assert moves[0].moved_at <= moves[1].moved_at <= moves[2].moved_at <= datetime.now(UTC)


def test_each_rollback_goes_one_step_further_back(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    topic.promote("acme", "topic", "live", 3, by=Actor("bob"))
    assert topic.rollback("acme", "topic", "live", by=Actor("bob")) == 2
    assert topic.rollback("acme", "topic", "live", by=Actor("bob")) == 1
    with pytest.raises(NothingToRollBack, match="points to version 1 and has no earlier target"):
        topic.rollback("acme", "topic", "live", by=Actor("bob"))
    assert alias_of(topic).version == 1


def test_a_promotion_after_a_rollback_is_rolled_back_to_where_it_came_from(
    topic: PrefixRegistry,
) -> None:
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    topic.rollback("acme", "topic", "live", by=Actor("bob"))
    topic.promote("acme", "topic", "live", 3, by=Actor("bob"))
    assert topic.rollback("acme", "topic", "live", by=Actor("bob")) == 1


def test_promoting_to_where_an_alias_points_already_is_no_move(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    assert len(alias_of(topic).moves) == 2
    assert topic.rollback("acme", "topic", "live", by=Actor("bob")) == 1


def test_a_rollback_to_a_deleted_version_is_refused_and_moves_nothing(
    topic: PrefixRegistry,
) -> None:
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    topic.remove_version("acme", "topic", 1)
    before = alias_of(topic)
    with pytest.raises(NothingToRollBack, match=r"acme/topic:live .*version 1 was deleted"):
        topic.rollback("acme", "topic", "live", by=Actor("bob"))
    assert alias_of(topic) == before


def test_aliases_move_and_roll_back_independently(topic: PrefixRegistry) -> None:
    topic.promote("acme", "topic", "live", 2, by=Actor("bob"))
    topic.promote("acme", "topic", "canary", 3, by=Actor("bob"))
    assert topic.rollback("acme", "topic", "live", by=Actor("bob")) == 1
    assert alias_of(topic, "canary").version == 3


@pytest.mark.parametrize("number", [0, 4, 10**30])
def test_a_version_that_is_not_there_is_not_promoted(topic: PrefixRegistry, number: int) -> None:
    before = alias_of(topic)
    with pytest.raises(PrefixNotFound, match=f"acme/topic@{number};"):
        topic.promote("acme", "topic", "live", number, by=Actor("bob"))
    assert alias_of(topic) == before


def test_tasks_and_aliases_that_are_not_there_are_named(topic: PrefixRegistry) -> None:
    with pytest.raises(PrefixNotFound, match="acme/mood;"):
        topic.promote("acme", "mood", "live", 1, by=Actor("bob"))
    with pytest.raises(PrefixNotFound, match="acme/mood;"):
        topic.rollback("acme", "mood", "live", by=Actor("bob"))
    with pytest.raises(PrefixNotFound, match="acme/topic:canary;"):
        topic.rollback("acme", "topic", "canary", by=Actor("bob"))


def test_an_alias_that_reads_as_a_version_is_refused(topic: PrefixRegistry) -> None:
    with pytest.raises(InvalidName, match="digits alone"):
        topic.promote("acme", "topic", "2", 2, by=Actor("bob"))


class Lifecycle(RuleBasedStateMachine):
    """One task against a model: versions by number, and for each alias the versions it held."""

    aliases = st.sampled_from(["live", "next"])
    numbers = st.integers(1, 6)

    def __init__(self, registry: PrefixRegistry, task: str) -> None:
        super().__init__()
        self.registry = registry
        self.task = task
        self.versions: dict[int, str] = {}
        self.next_number = 1
        self.stacks: dict[str, list[int]] = {}
        self.deleted: dict[int, str] = {}
        self.deleted_tasks: list[tuple[dict[int, str], dict[str, list[int]], dict[int, str]]] = []

    def push(self, alias: str, number: int) -> None:
        stack = self.stacks.setdefault(alias, [])
        if stack[-1:] != [number]:
            stack.append(number)

    @rule(content=st.integers(0, 4), alias=st.none() | aliases)
    def publish(self, content: int, alias: str | None) -> None:
        description = f"{self.task} {content}"
        published = publish(self.registry, "acme", self.task, description, alias=alias)
        all_versions = self.versions | self.deleted
        known = {text: number for number, text in all_versions.items()}
        number = known.get(description, self.next_number)
        self.deleted.pop(number, None)
        assert published.version.number == number
        assert published.is_new == (description not in known)
        self.next_number += published.is_new
        self.versions[number] = description
        if "live" not in self.stacks:
            self.push("live", number)
        if alias is not None:
            self.push(alias, number)

    @rule(alias=aliases, number=numbers)
    def promote(self, alias: str, number: int) -> None:
        if number in self.versions:
            self.registry.promote("acme", self.task, alias, number, by=Actor("bob"))
            self.push(alias, number)
        else:
            with pytest.raises(PrefixNotFound):
                self.registry.promote("acme", self.task, alias, number, by=Actor("bob"))

    @rule(alias=aliases)
    def rollback(self, alias: str) -> None:
        stack = self.stacks.get(alias, [])
        if not stack:
            with pytest.raises(PrefixNotFound):
                self.registry.rollback("acme", self.task, alias, by=Actor("bob"))
        elif len(stack) == 1 or stack[-2] not in self.versions:
            with pytest.raises(NothingToRollBack):
                self.registry.rollback("acme", self.task, alias, by=Actor("bob"))
        else:
            stack.pop()
            assert self.registry.rollback("acme", self.task, alias, by=Actor("bob")) == stack[-1]

    @rule(number=numbers)
    def delete_version(self, number: int) -> None:
        if number not in self.versions:
            with pytest.raises(PrefixNotFound):
                self.registry.delete_version("acme", self.task, number)
        elif number in {stack[-1] for stack in self.stacks.values()}:
            with pytest.raises(VersionInUse):
                self.registry.delete_version("acme", self.task, number)
        else:
            self.registry.delete_version("acme", self.task, number)
            self.deleted[number] = self.versions.pop(number)

    @rule(number=numbers)
    def restore_version(self, number: int) -> None:
        if number in self.deleted:
            self.registry.restore_version("acme", self.task, number, by=Actor("bob"))
            self.versions[number] = self.deleted.pop(number)
        else:
            with pytest.raises(PrefixNotFound):
                self.registry.restore_version("acme", self.task, number, by=Actor("bob"))

    @rule(number=numbers)
    def remove_version(self, number: int) -> None:
        if number in self.deleted:
            self.registry.remove_version("acme", self.task, number)
            del self.deleted[number]
        elif number not in self.versions:
            with pytest.raises(PrefixNotFound):
                self.registry.remove_version("acme", self.task, number)
        elif number in {stack[-1] for stack in self.stacks.values()}:
            with pytest.raises(VersionInUse):
                self.registry.remove_version("acme", self.task, number)
        else:
            self.registry.remove_version("acme", self.task, number)
            del self.versions[number]

    @rule()
    def delete_prefix(self) -> None:
        if self.versions:
            self.registry.delete_prefix("acme", self.task)
            self.deleted_tasks.append((self.versions, self.stacks, self.deleted))
            self.versions, self.stacks, self.deleted = {}, {}, {}
        else:
            with pytest.raises(PrefixNotFound):
                self.registry.delete_prefix("acme", self.task)

    @rule()
    def restore_prefix(self) -> None:
        expected = PrefixExists if self.deleted_tasks and self.versions else PrefixNotFound
        if self.versions or not self.deleted_tasks:
            with pytest.raises(expected):
                self.registry.restore_prefix("acme", self.task, by=Actor("bob"))
        else:
            self.registry.restore_prefix("acme", self.task, by=Actor("bob"))
            self.versions, self.stacks, self.deleted = self.deleted_tasks.pop()

    @rule()
    def remove_prefix(self) -> None:
        if self.versions or self.deleted_tasks:
            self.registry.remove_prefix("acme", self.task)
            self.versions, self.stacks, self.deleted = {}, {}, {}
            self.deleted_tasks.clear()
        else:
            with pytest.raises(PrefixNotFound):
                self.registry.remove_prefix("acme", self.task)

    @invariant()
    def the_registry_tells_what_the_model_tells(self) -> None:
        listed = [
            summary
            for summary in self.registry.list_prefixes(reader="acme")
            if summary.task == self.task
        ]
        assert [list(summary.versions) for summary in listed] == (
            [sorted(self.versions)] if self.versions else []
        )
        for summary in listed:
            assert summary.aliases == {name: stack[-1] for name, stack in self.stacks.items()}
            for version in self.registry.show("acme", self.task, reader="acme").versions:
                expected = tiny_prefix(self.versions[version.number]).to_bytes()
                assert self.registry.store.get(version.digest) == expected

    def teardown(self) -> None:
        if self.versions or self.deleted_tasks:
            self.registry.remove_prefix("acme", self.task)
        assert self.registry.store.digests() == frozenset()


def test_any_life_of_a_task_goes_as_a_simple_model_of_it(registry: PrefixRegistry) -> None:
    tasks = count()

    class FreshLifecycle(Lifecycle):
        def __init__(self) -> None:
            super().__init__(registry, f"task-{next(tasks)}")

    run_state_machine_as_test(
        FreshLifecycle,
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None, database=None),
    )
