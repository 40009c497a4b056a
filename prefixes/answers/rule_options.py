"""RuleOptions: the rules of a request, and checks that rules fit the labels of their tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from prefixes.answers.hierarchy import tree_of
from prefixes.errors import InvalidRules, UnknownLabel
from prefixes.spec import AnswerRules, PrefixSpec

_MAX_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """The rules that a request sets, and the level of labels that it selects."""

    given: AnswerRules | None = None
    level: int | None = None

    @property
    def need_labels(self) -> bool:
        """Whether only the labels of the tasks show that the options are valid."""
        return self.level is not None or (self.given is not None and bool(self.given.thresholds))

    def check(self, specs: Sequence[PrefixSpec]) -> None:
        """Check that at least one of the tasks has each label, and the level.

        Raises:
            UnknownLabel: when a threshold is for a label that no task has.
            InvalidRules: when no task has labels of the level.
        """
        check_labels(self.given, specs, "the tasks of the request")
        _check_level(self.level, specs)


NO_RULES: Final = RuleOptions()
"""Leaves everything to the tasks and their aliases."""


def check_labels(rules: AnswerRules | None, specs: Iterable[PrefixSpec], owner: str) -> None:
    """Check that each threshold belongs to a label of at least one task.

    Args:
        rules: the rules to check.
        specs: descriptions of the tasks that the rules are for.
        owner: the words for these tasks in the error.

    Raises:
        UnknownLabel: when no task has the label.
    """
    if rules is None or not rules.thresholds:
        return
    known: dict[str, None] = {}
    for spec in specs:
        if spec.has_labels_of_texts:
            tree = tree_of(spec)
            known |= dict.fromkeys((*spec.labels, *(() if tree is None else tree.paths)))
    for label in rules.thresholds:
        if label not in known:
            raise UnknownLabel(
                f'Unknown label "{label}" in `thresholds`: expected a label of {owner}. '
                f"Known labels: {_listed(list(known))}. Correct the label, or remove it."
            )


def _check_level(level: int | None, specs: Iterable[PrefixSpec]) -> None:
    if level is None:
        return
    trees = [tree_of(spec) for spec in specs if spec.has_labels_of_texts]
    depth = max((tree.depth for tree in trees if tree is not None), default=0)
    if level > depth:
        found = f"have at most {depth} levels" if depth else "have no hierarchy of labels"
        raise InvalidRules(
            f"Invalid `level` {level}: the tasks of the request {found}. Send a lower level, or "
            "remove it."
        )


def _listed(labels: Sequence[str]) -> str:
    names = ", ".join(f'"{label}"' for label in labels[:_MAX_LISTED])
    rest = len(labels) - _MAX_LISTED
    return (names or "none") + (f" and {rest} more" if rest > 0 else "")
