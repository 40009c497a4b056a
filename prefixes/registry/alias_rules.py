"""AliasRules: the rules of aliases, which replace those of the file of their version."""

from collections.abc import Callable

from sqlalchemy import Connection

from prefixes.answers import check_labels
from prefixes.errors import InvalidRules, RulesNotFound
from prefixes.registry.alias_values import AliasRuleState
from prefixes.registry.aliases import accept_any, find_target
from prefixes.registry.changes import PrefixRow, find_spec
from prefixes.registry.database import Database
from prefixes.registry.rule_rows import RulePointer
from prefixes.registry.values import Actor
from prefixes.spec import AliasRuleSet, PrefixSpec, traits_of

RuleCheck = Callable[[AliasRuleState | None], None]
"""Raises an error, within the transaction of a change, if the change must not be made."""


class AliasRules:
    """The rules of aliases. A change applies to the next request. Safe to use from many threads.

    Every method raises PrefixNotFound when the task or the alias does not exist, and
    StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, task: str, alias: str) -> AliasRuleState:
        """Read the rules of an alias.

        Raises:
            RulesNotFound: when the alias has none.
        """
        with self._database.read() as connection:
            _, pointer, _ = _open(connection, tenant, task, alias)
            return _existing(pointer)

    def set(
        self,
        tenant: str,
        task: str,
        alias: str,
        rules: AliasRuleSet,
        *,
        check: RuleCheck = accept_any,
        by: Actor,
    ) -> AliasRuleState:
        """Set all rules of an alias. Rules that are None are those of the file.

        Raises:
            InvalidRules: when the version has no answers that a rule is for, or no windows.
            UnknownLabel: when a threshold is for a label that the version does not have.
        """
        with self._database.write() as connection:
            row, pointer, version = _open(connection, tenant, task, alias)
            check(pointer.find())
            _check_rules(rules, find_spec(connection, row, version), f"{row.version(version)}")
            pointer.set(rules, version=version, by=by)
            return _existing(pointer)

    def remove(
        self, tenant: str, task: str, alias: str, *, check: RuleCheck = accept_any, by: Actor
    ) -> None:
        """Remove all rules of an alias: those of the file apply again.

        Raises:
            RulesNotFound: when the alias has none.
        """
        with self._database.write() as connection:
            _, pointer, _ = _open(connection, tenant, task, alias)
            check(pointer.find())
            pointer.remove(_existing(pointer), by=by)


def _open(
    connection: Connection, tenant: str, task: str, alias: str
) -> tuple[PrefixRow, RulePointer, int]:
    """Find the task, the place of the rules, and the version that the alias points to."""
    row, version = find_target(connection, tenant, task, alias)
    return row, RulePointer(connection, row, alias), version


def _existing(pointer: RulePointer) -> AliasRuleState:
    found = pointer.find()
    if found is None:
        raise RulesNotFound(f"{pointer} has no rules: set some, or use those of the prefix file")
    return found


def _check_rules(rules: AliasRuleSet, spec: PrefixSpec, version: str) -> None:
    found = spec.problem_type or spec.task_type
    if rules.has_rules and not spec.has_labels_of_texts:
        raise InvalidRules(
            f"Rules for answers apply only to labels of texts, but {version} is a {found}: point "
            "the alias to a classification first, or set only `long_text` and `stride`"
        )
    if rules.long_text is not None and not traits_of(spec.task_type).may_have_windows:
        raise InvalidRules(
            f"`long_text` applies to classification of texts or tokens and to embeddings, but "
            f"{version} is a {found}: omit it"
        )
    if rules.merge is not None and spec.task_type != "sequence_classification":
        raise InvalidRules(
            f"`merge` applies only to classification of texts, but {version} is a {found}: omit it"
        )
    check_labels(rules, [spec], version)
