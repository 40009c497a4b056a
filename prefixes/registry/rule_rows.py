"""The rules of an alias: reading, changing and restoring them within a transaction.

They belong to the alias and to the version that it points to. A move takes them off the alias and
keeps them in the history, from which a rollback of the move brings them back.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, select, update

from prefixes.registry.alias_handle import AliasHandle
from prefixes.registry.alias_values import AliasRuleState
from prefixes.registry.tables import aliases
from prefixes.registry.values import Actor
from prefixes.spec import AliasRuleSet


class RulePointer(AliasHandle):
    """The rules of one alias, valid during one write transaction."""

    def find(self) -> AliasRuleState | None:
        """Read the rules; None if the alias has none."""
        columns = (aliases.c.version, aliases.c.rules, aliases.c.rules_revision)
        found = self._connection.execute(select(*columns).where(self._here)).one_or_none()
        if found is None or found.rules is None:
            return None
        rules = AliasRuleSet.model_validate_json(found.rules)
        return AliasRuleState(found.version, rules, found.rules_revision)

    def set(self, rules: AliasRuleSet, *, version: int, by: Actor) -> None:
        """Set all rules. Without a change, nothing happens."""
        current = self.find()
        if current is not None and current.rules == rules:
            return
        revision = self._add_move("rules", version, version, by)
        self.restore(rules.model_dump_json(exclude_none=True), revision=revision)
        before = None if current is None else _fields(current.rules)
        self._audit("rules.set", by, before, _fields(rules))

    def remove(self, current: AliasRuleState, *, by: Actor) -> None:
        """Remove all rules: those of the file apply again."""
        self._add_move("rules_delete", current.version, current.version, by)
        self.restore(None, revision=None)
        self._audit("rules.delete", by, _fields(current.rules), None)

    def restore(self, rules: str | None, *, revision: int | None) -> None:
        """Write rules as they are stored, without a row in the history."""
        values: dict[str, Any] = {"rules": rules, "rules_revision": revision}
        self._connection.execute(update(aliases).where(self._here).values(**values))

    @property
    def _here(self) -> ColumnElement[bool]:
        return and_(aliases.c.prefix_id == self._row.id, aliases.c.name == self._alias)


def _fields(rules: AliasRuleSet) -> dict[str, Any]:
    return rules.model_dump(exclude_none=True)
