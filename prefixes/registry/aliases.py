"""AliasPointer: reading, moving and rolling back an alias within a transaction."""

from typing import Final, Literal

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from prefixes.errors import NothingToRollBack
from prefixes.names import check_alias
from prefixes.registry.alias_handle import AliasHandle
from prefixes.registry.alias_values import MoveKind
from prefixes.registry.audit import Action
from prefixes.registry.canary_rows import CanaryPointer
from prefixes.registry.changes import PrefixRow, find_prefix
from prefixes.registry.lookup import not_found
from prefixes.registry.outbox import emit
from prefixes.registry.rule_rows import RulePointer
from prefixes.registry.tables import alias_moves, aliases, versions
from prefixes.registry.values import Actor

UNDOABLE: Final = ("publish", "promote")


class AliasPointer(AliasHandle):
    """One alias of a task, valid during one write transaction.

    Moves form an undo stack: publish and promote push a move, and a rollback undoes the last one
    that is not undone yet. The history records rollbacks, but they cannot be undone themselves.
    Every move ends the canary of the alias. A rollback brings back the rules that the alias had
    before the move.
    """

    @property
    def version(self) -> int | None:
        """The version it points to; None if the alias does not exist."""
        number: int | None = self._connection.scalar(select(aliases.c.version).where(self._here))
        return number

    def move(self, to: int, *, kind: Literal["publish", "promote"], by: Actor) -> None:
        """Point to a version. If it already does, no move is recorded."""
        before = self.version
        if before == to:
            return
        if before is None:
            self._connection.execute(
                insert(aliases).values(prefix_id=self._row.id, name=self._alias, version=to)
            )
            self._record(kind, before, to, by)
        else:
            self._record(kind, before, to, by)
            self._point(to)

    def undo(self, *, by: Actor) -> int:
        """Undo the last move that is not undone yet, and return the version it pointed to before.

        Raises:
            PrefixNotFound: when the alias does not exist.
            NothingToRollBack: when no move is left, or the earlier version was deleted.
        """
        current = self.version
        if current is None:
            raise not_found(self)
        last = self._connection.execute(
            select(alias_moves.c.id, alias_moves.c.from_version, alias_moves.c.from_rules)
            .where(
                alias_moves.c.prefix_id == self._row.id,
                alias_moves.c.alias == self._alias,
                alias_moves.c.kind.in_(UNDOABLE),
                ~alias_moves.c.is_undone,
            )
            .order_by(alias_moves.c.id.desc())
            .limit(1)
        ).one()
        self._check_target(current, last.from_version)
        self._connection.execute(
            update(alias_moves).where(alias_moves.c.id == last.id).values(is_undone=True)
        )
        revision = self._record("rollback", current, last.from_version, by)
        self._point(last.from_version)
        if last.from_rules is not None:
            RulePointer(self._connection, self._row, self._alias).restore(
                last.from_rules, revision=revision
            )
        target: int = last.from_version
        return target

    @property
    def _here(self) -> ColumnElement[bool]:
        return and_(aliases.c.prefix_id == self._row.id, aliases.c.name == self._alias)

    def _check_target(self, current: int, target: int | None) -> None:
        if target is None:
            raise NothingToRollBack(
                f"{self} points to version {current} and has no earlier target: promote the "
                "version you want"
            )
        is_there = select(versions.c.number).where(
            versions.c.prefix_id == self._row.id, versions.c.number == target
        )
        if self._connection.scalar(is_there) is None:
            raise NothingToRollBack(
                f"{self} pointed to version {target} before version {current}, but version "
                f"{target} was deleted: promote the version you want"
            )

    def _point(self, to: int) -> None:
        """Point to a version, with the rules of its own file."""
        values = {"version": to, "rules": None, "rules_revision": None}
        self._connection.execute(update(aliases).where(self._here).values(**values))

    def _record(self, kind: MoveKind, before: int | None, to: int, by: Actor) -> int:
        """Record a move that is about to be made, and return the id of its row."""
        rules = self._connection.scalar(select(aliases.c.rules).where(self._here))
        canary = CanaryPointer(self._connection, self._row, self._alias)
        canary.end_with_move(before, to, by=by)
        move_id = self._add_move(kind, before, to, by, from_rules=rules)
        action: Action = "alias.rollback" if kind == "rollback" else "alias.move"
        self._audit(action, by, {"version": before}, {"version": to})
        moved = {
            "tenant": self._row.tenant,
            "task": self._row.task,
            "alias": self._alias,
            "kind": kind,
            "from_version": before,
            "to_version": to,
            "by": by.name,
        }
        emit(self._connection, self._row.tenant, "alias.moved", moved)
        return move_id


def find_target(
    connection: Connection, tenant: str, task: str, alias: str
) -> tuple[PrefixRow, int]:
    """Find a task, and the version that one of its aliases points to.

    Raises:
        InvalidName: when the name of the alias is not valid.
        PrefixNotFound: when the task or the alias does not exist.
    """
    check_alias(alias)
    row = find_prefix(connection, tenant, task)
    pointer = AliasPointer(connection, row, alias)
    version = pointer.version
    if version is None:
        raise not_found(pointer)
    return row, version


def accept_any(_current: object) -> None:
    """Accept a change of a canary or of rules, whatever they are."""
