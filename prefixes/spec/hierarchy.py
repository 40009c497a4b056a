"""Hierarchy: a tree over the labels of a task."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

from pydantic import Field

from prefixes.spec.parts import MAX_LABELS, Label
from prefixes.values import Value, at_most

MAX_LEVELS: Final = 10
SEPARATOR: Final = "/"

Parents = Annotated[dict[Label, Label], at_most(MAX_LABELS)]


class Hierarchy(Value):
    """The parent of each label, and of each parent that has one itself.

    A name without an entry is at the top, level 1. A label may also be the parent of others: a text
    with this label belongs to none of them.
    """

    parents: Parents = Field(min_length=1)

    @classmethod
    def of_labels(cls, labels: Iterable[str]) -> "Hierarchy | None":
        """Split labels such as `billing/refund`, whose parent is `billing`.

        Returns:
            None if no label has a parent.
        """
        parents: dict[str, str] = {}
        for label in labels:
            name = label
            while (parent := _parent_of(name)) and name not in parents:
                parents[name] = parent
                name = parent
        return cls(parents=parents) if parents else None

    def problems(self, labels: tuple[str, ...]) -> list[str]:
        """List what keeps the parents from being a tree over labels, one phrase each."""
        known = {*labels, *self.parents.values()}
        unknown = [name for name in self.parents if name not in known]
        problems = [
            f"decisions.hierarchy: {name[:80]!r} is neither a label nor a parent"
            for name in unknown[:5]
        ]
        too_deep = [label for label in labels if len(path_of(label, self.parents)) > MAX_LEVELS]
        if too_deep:
            problems.append(
                f"decisions.hierarchy: {too_deep[0][:80]!r} has a circle above it, or more than "
                f"{MAX_LEVELS} levels"
            )
        return problems


def path_of(label: str, parents: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names from the top to a label; too long a path is cut at the top."""
    path = [label]
    while path[-1] in parents and len(path) <= MAX_LEVELS:
        path.append(parents[path[-1]])
    return tuple(reversed(path))


def _parent_of(label: str) -> str:
    """Return the part before the last separator with text on both sides; empty without one."""
    before, sign, after = label.rpartition(SEPARATOR)
    before = before.rstrip(SEPARATOR)
    return before if sign and after and before.strip(SEPARATOR) else ""
