"""Readers of prefixes and owners of keys, against a model, after any sequence of changes.

Changes are made through one process's registry. Each question is asked through another one, whose
caches are warm, as in a front end.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from prefixes import PrefixRef
from prefixes.errors import PrefixNotFound
from prefixes.registry import (
    COMMAND_LINE,
    ApiKeys,
    PrefixRegistry,
    Sharing,
    Tenants,
    open_registry,
)
from prefixes.registry.tables import now
from tests.prefixes.publishing import publish

NAMES = ("acme", "globex", "shop")
TASKS = [PrefixRef(tenant, "topic", alias="live") for tenant in NAMES]
names = st.sampled_from(NAMES)
booleans = st.booleans()


class Access(RuleBasedStateMachine):
    """Three tenants with one task and one key each, and operators who change everything.

    Keys are chosen in the order of their issue: their random text would differ in a repetition.
    """

    def __init__(self, changing: PrefixRegistry, asking: PrefixRegistry) -> None:
        super().__init__()
        self.registry = changing
        self.asking = asking
        self.tenants = Tenants(changing.database)
        self.keys = ApiKeys(changing.database)
        self.sharing = Sharing(changing.database)
        self.asked_keys = ApiKeys(asking.database)

    @initialize()
    def begin(self) -> None:
        for name in NAMES:
            self.tenants.resume(name, by=COMMAND_LINE)
            self.tenants.set_public(name, is_public=False, by=COMMAND_LINE)
            self.sharing.set_public(name, "topic", is_public=False, by=COMMAND_LINE)
            for reader in NAMES:
                self.sharing.remove(name, "topic", reader, by=COMMAND_LINE)
        self.state = dict.fromkeys(NAMES, "active")
        self.public_tenants: set[str] = set()
        self.public_tasks: set[str] = set()
        self.shared: set[tuple[str, str]] = set()
        self.valid: dict[str, str] = {}
        self.invalid: set[str] = set()
        for name in NAMES:
            self.valid[self.keys.issue(name, "").key] = name

    @rule(name=names, change=st.sampled_from(["suspend", "delete", "resume"]))
    def change_state(self, name: str, change: str) -> None:
        getattr(self.tenants, change)(name, by=COMMAND_LINE)
        if change == "resume":
            self.state[name] = "active"
        elif change == "delete" or self.state[name] == "active":
            self.state[name] = {"suspend": "suspended", "delete": "deleted"}[change]

    @rule(name=names, is_public=booleans)
    def set_tenant_public(self, name: str, is_public: bool) -> None:  # noqa: FBT001 - by hypothesis
        self.tenants.set_public(name, is_public=is_public, by=COMMAND_LINE)
        (self.public_tenants.add if is_public else self.public_tenants.discard)(name)

    @rule(name=names, is_public=booleans)
    def set_task_public(self, name: str, is_public: bool) -> None:  # noqa: FBT001 - by hypothesis
        self.sharing.set_public(name, "topic", is_public=is_public, by=COMMAND_LINE)
        (self.public_tasks.add if is_public else self.public_tasks.discard)(name)

    @rule(name=names, reader=names, is_shared=booleans)
    def share(self, name: str, reader: str, is_shared: bool) -> None:  # noqa: FBT001 - by hypothesis
        change = self.sharing.add if is_shared else self.sharing.remove
        change(name, "topic", reader, by=COMMAND_LINE)
        (self.shared.add if is_shared else self.shared.discard)((name, reader))

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.valid)))
        owner = self.valid.pop(key)
        self.keys.revoke(key.split("_")[1])
        self.invalid.add(key)
        if self.state[owner] != "deleted":
            self.valid[self.keys.issue(owner, "").key] = owner
        else:
            self.tenants.resume(owner, by=COMMAND_LINE)
            self.state[owner] = "active"
            self.valid[self.keys.issue(owner, "").key] = owner

    @rule(data=st.data(), is_at_once=booleans)
    def rotate(self, data: st.DataObject, is_at_once: bool) -> None:  # noqa: FBT001 - by hypothesis
        usable = [key for key, owner in self.valid.items() if self.state[owner] != "deleted"]
        usable = [key for key in usable if self.keys.find(key.split("_")[1]).replaced_by is None]
        if not usable:
            return
        key = data.draw(st.sampled_from(usable))
        overlap = timedelta(0) if is_at_once else timedelta(days=1)
        self.valid[self.keys.rotate(key.split("_")[1], overlap=overlap).key] = self.valid[key]
        if is_at_once:
            del self.valid[key]
            self.invalid.add(key)

    @rule(name=names)
    def issue_expired(self, name: str) -> None:
        if self.state[name] != "deleted":
            self.invalid.add(self.keys.issue(name, "", expires_at=now()).key)

    @invariant()
    def keys_prove_their_owners_while_they_are_valid(self) -> None:
        for key in self.invalid:
            assert self.asked_keys.recall(key) is None
            assert self.asked_keys.authenticate(key) is None
        for key, owner in self.valid.items():
            identity = self.asked_keys.recall(key) or self.asked_keys.authenticate(key)
            if self.state[owner] == "deleted":
                assert identity is None
                continue
            assert identity is not None
            assert (identity.tenant, identity.role) == (owner, "admin")
            assert identity.is_suspended == (self.state[owner] == "suspended")

    @invariant()
    def readers_see_exactly_what_is_theirs_shared_or_public(self) -> None:
        for reader in (*NAMES, None, "nobody"):
            expected = {task for task in TASKS if self.may_read(reader, task.tenant)}
            listed = {item.tenant for item in self.asking.list_prefixes(reader=reader)}
            assert listed == {task.tenant for task in expected}
            for task in TASKS:
                assert self.is_found(task, reader) == (task in expected)

    def may_read(self, reader: str | None, owner: str) -> bool:
        if reader == owner:
            return True
        is_open = owner in self.public_tenants | self.public_tasks
        return self.state[owner] == "active" and (is_open or (owner, reader) in self.shared)

    def is_found(self, task: PrefixRef, reader: str | None) -> bool:
        if self.asking.recall([task], reader=reader) is not None:
            return True
        try:
            self.asking.version(task, reader=reader)
        except PrefixNotFound:
            return False
        return True


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[PrefixRegistry, PrefixRegistry]]:
    changing = open_registry(tmp_path)
    for name in NAMES:
        changing.ensure_tenant(name)
        publish(changing, name, "topic", f"of {name}")
    asking = open_registry(tmp_path)
    yield changing, asking
    asking.close()
    changing.close()


def test_every_question_after_any_changes_gets_the_answer_of_the_model(
    both: tuple[PrefixRegistry, PrefixRegistry],
) -> None:
    class OpenedAccess(Access):
        def __init__(self) -> None:
            super().__init__(*both)

    run_state_machine_as_test(
        OpenedAccess,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            database=None,
        ),
    )
