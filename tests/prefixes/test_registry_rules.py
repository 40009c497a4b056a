"""Rules of aliases in the registry: they belong to the alias and to the version it points to."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from prefixes import PrefixRef
from prefixes.errors import InvalidName, InvalidRules, PrefixNotFound, RulesNotFound, UnknownLabel
from prefixes.registry import (
    Actor,
    AliasRules,
    AuditLog,
    Canaries,
    CanaryPlan,
    PrefixRegistry,
    open_registry,
)
from prefixes.registry.audit import AuditFilter
from prefixes.spec import AliasRuleSet
from tests.factories import make_prefix
from tests.prefixes.conftest import on_sqlite
from tests.prefixes.facts import BACKBONE
from tests.prefixes.publishing import publish

LIVE = PrefixRef("acme", "topic", alias="live")
PATH = ("acme", "topic", "live")
BOB = Actor("bob")
STRICT = AliasRuleSet(min_score=0.9)
LAX = AliasRuleSet(thresholds={"good": 0.1})


@pytest.fixture
def rules(topic: PrefixRegistry) -> AliasRules:
    return AliasRules(topic.database)


def in_use(registry: PrefixRegistry) -> AliasRuleSet | None:
    """The rules that a request without a canary gets now."""
    target = registry.resolve([LIVE], reader="acme")[LIVE]
    return target.rules_for(target.stable)


def test_rules_replace_those_before_and_can_be_removed(
    topic: PrefixRegistry, rules: AliasRules
) -> None:
    assert in_use(topic) is None
    state = rules.set(*PATH, STRICT, by=BOB)
    assert (state.version, state.rules) == (1, STRICT)
    assert rules.find(*PATH) == state
    assert in_use(topic) == STRICT
    assert rules.set(*PATH, STRICT, by=BOB) == state
    assert rules.set(*PATH, LAX, by=BOB).revision > state.revision
    assert in_use(topic) == LAX
    rules.remove(*PATH, by=BOB)
    assert in_use(topic) is None
    for change in (rules.find, lambda *path: rules.remove(*path, by=BOB)):
        with pytest.raises(RulesNotFound, match="acme/topic:live has no rules"):
            change(*PATH)


@on_sqlite
def test_a_change_by_another_process_applies_to_the_next_request(
    rules: AliasRules, tmp_path: Path, database_url: str | None
) -> None:
    other = open_registry(tmp_path / "registry", database_url=database_url)
    for wanted in (STRICT, LAX):
        rules.set(*PATH, wanted, by=BOB)
        assert other.recall([LIVE], reader="acme") is None
        assert in_use(other) == wanted
        known = other.recall([LIVE], reader="acme")
        assert known is not None
        assert known[LIVE].rules == wanted
    other.close()


def test_a_promotion_starts_without_rules_and_a_rollback_brings_them_back(
    topic: PrefixRegistry, rules: AliasRules
) -> None:
    first = rules.set(*PATH, STRICT, by=BOB)
    topic.promote(*PATH, 2, by=BOB)
    assert in_use(topic) is None
    rules.set(*PATH, LAX, by=BOB)
    topic.promote(*PATH, 1, by=BOB)
    assert in_use(topic) is None  # a promotion to a former version counts as a promotion
    topic.rollback(*PATH, by=BOB)
    assert (rules.find(*PATH).version, in_use(topic)) == (2, LAX)
    topic.rollback(*PATH, by=BOB)
    again = rules.find(*PATH)
    assert (again.version, again.rules) == (1, STRICT)
    assert again.revision > first.revision


def test_every_move_to_another_version_takes_the_rules_off(
    topic: PrefixRegistry, rules: AliasRules
) -> None:
    canaries = Canaries(topic.database)
    moves: list[Callable[[], Any]] = [
        lambda: topic.promote(*PATH, 3, by=BOB),
        lambda: publish(topic, "acme", "topic", "d", alias="live"),
        lambda: canaries.promote(*PATH, by=BOB),
    ]
    for move in moves:
        rules.set(*PATH, STRICT, by=BOB)
        canaries.set(*PATH, CanaryPlan(2, 5), by=BOB)
        move()
        assert in_use(topic) is None
    rules.set(*PATH, STRICT, by=BOB)
    topic.promote(*PATH, 2, by=BOB)  # where it points already
    assert in_use(topic) == STRICT


def test_a_canary_has_the_rules_of_its_own_file(topic: PrefixRegistry, rules: AliasRules) -> None:
    rules.set(*PATH, STRICT, by=BOB)
    Canaries(topic.database).set(*PATH, CanaryPlan(2, 100), by=BOB)
    target = topic.resolve([LIVE], reader="acme")[LIVE]
    assert target.rules_for(target.version_for("key")) is None
    assert target.rules_for(target.version_for(None)) == STRICT


def test_a_version_is_not_affected_by_the_rules_of_an_alias(
    topic: PrefixRegistry, rules: AliasRules
) -> None:
    rules.set(*PATH, STRICT, by=BOB)
    ref = PrefixRef("acme", "topic", version=1)
    assert topic.resolve([ref], reader="acme")[ref].rules is None


def test_rules_that_do_not_fit_the_version_are_rejected(rules: AliasRules) -> None:
    with pytest.raises(
        UnknownLabel, match=r'a label of acme/topic@1\. Known labels: "bad", "good"\.'
    ):
        rules.set(*PATH, AliasRuleSet(thresholds={"fine": 0.5}), by=BOB)
    with pytest.raises(PrefixNotFound):
        rules.set("acme", "topic", "next", STRICT, by=BOB)
    with pytest.raises(InvalidName):
        rules.set("acme", "topic", "Not A Name", STRICT, by=BOB)


@pytest.mark.parametrize(
    ("task_type", "rules_of_type", "accepted"),
    [
        ("token_classification", {"min_score": 0.5}, False),
        ("token_classification", {"long_text": "windows", "stride": 8}, True),
        ("token_classification", {"long_text": "windows", "merge": "max"}, False),
        ("embedding", {"long_text": "windows"}, True),
        ("multiple_choice", {"long_text": "windows"}, False),
        ("question_answering", {"long_text": "truncate"}, False),
    ],
)
def test_rules_belong_to_task_types(
    topic: PrefixRegistry,
    rules: AliasRules,
    task_type: str,
    rules_of_type: dict[str, Any],
    *,
    accepted: bool,
) -> None:
    prefix = make_prefix(BACKBONE, task_type=task_type)
    with topic.store.stage() as staged:
        staged.write(prefix.to_bytes())
        topic.publish("acme", "other", staged, prefix, alias="live", by=BOB)
    change = partial(rules.set, "acme", "other", "live", AliasRuleSet(**rules_of_type), by=BOB)
    if accepted:
        assert change().rules == AliasRuleSet(**rules_of_type)
    else:
        with pytest.raises(InvalidRules, match=f"acme/other@1 is a {task_type}"):
            change()


def test_the_history_and_the_audit_log_record_every_change(
    topic: PrefixRegistry, rules: AliasRules
) -> None:
    rules.set(*PATH, STRICT, by=BOB)
    rules.set(*PATH, LAX, by=BOB)
    rules.remove(*PATH, by=BOB)
    (alias,) = topic.show("acme", "topic", reader="acme").aliases
    assert [(move.kind, move.to_version, move.is_move) for move in alias.moves] == [
        ("publish", 1, True),
        ("rules", 1, False),
        ("rules", 1, False),
        ("rules_delete", 1, False),
    ]
    log = AuditLog(topic.database).list(AuditFilter(object="acme/topic:live"), limit=3)
    found = [(one.action, one.before, one.after) for one in log]
    lax, strict = {"thresholds": {"good": 0.1}}, {"min_score": 0.9}
    assert [(action, _json(before), _json(after)) for action, before, after in found] == [
        ("rules.delete", lax, None),
        ("rules.set", strict, lax),
        ("rules.set", None, strict),
    ]


def test_a_rollback_skips_changes_of_rules(topic: PrefixRegistry, rules: AliasRules) -> None:
    topic.promote(*PATH, 2, by=BOB)
    rules.set(*PATH, STRICT, by=BOB)
    assert topic.rollback(*PATH, by=BOB) == 1


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
