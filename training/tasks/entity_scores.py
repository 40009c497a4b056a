"""Metrics of entities. Only exact matches count."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from prefixes.encoded import Span
from training.tasks.metrics import LabelScore, Measurement
from training.tasks.tags import Mention

_PREDICATE: Final = "V"
"""The type of a predicate among its roles."""

_CONTINUATION: Final = "C-"
"""Prefix of the type of a role's further part, after an interruption by other words."""

_Role = tuple[str, tuple[Span, ...]]
"""The type of a role, and its parts in order."""


def score_entities(
    found: Sequence[set[Mention]],
    true: Sequence[Sequence[Mention]],
    *,
    token_accuracy: float,
) -> Measurement:
    """Compare the mentions found in n texts with the true ones.

    A mention is right if its characters and its type are. Precision, recall and F1 are over all
    mentions of all texts, and `macro_f1` is the mean F1 of the types.
    """
    pairs = [(mine, set(theirs)) for mine, theirs in zip(found, true, strict=True)]
    num_found = Counter(one.label for mine, _ in pairs for one in mine)
    num_true = Counter(one.label for _, theirs in pairs for one in theirs)
    num_right = Counter(one.label for mine, theirs in pairs for one in mine & theirs)
    scores = tuple(
        _score(label, num_found[label], num_true[label], num_right[label])
        for label in sorted(num_found | num_true)
    )
    total = _score("", num_found.total(), num_true.total(), num_right.total())
    return Measurement(
        {
            "entity_f1": total.f1,
            "entity_precision": total.precision,
            "entity_recall": total.recall,
            "macro_f1": sum(one.f1 for one in scores) / len(scores) if scores else 0.0,
            "token_accuracy": token_accuracy,
        },
        scores,
    )


def entity_f1(found: Sequence[Iterable[Mention]], true: Sequence[Iterable[Mention]]) -> float:
    """Return the F1 over all mentions of n texts."""
    return _f1(found, true)


def has_roles(labels: Sequence[str]) -> bool:
    """Return whether these are the tags of a predicate and its roles."""
    return f"B-{_PREDICATE}" in labels


def role_f1(found: Sequence[Iterable[Mention]], true: Sequence[Iterable[Mention]]) -> float:
    """Return the F1 over all roles of n texts, as srl-eval of CoNLL-2005 counts them.

    A role is right if its type and all its parts are. Predicates do not count.
    """
    mine, theirs = (
        [[role for role in _roles(mentions) if role[0] != _PREDICATE] for mentions in side]
        for side in (found, true)
    )
    return _f1(mine, theirs)


def _roles(mentions: Iterable[Mention]) -> list[_Role]:
    """Join a mention of type `C-x` to the preceding role of type x, if there is one."""
    roles: list[_Role] = []
    last: dict[str, int] = {}
    for one in sorted(mentions):
        part = (one.start, one.end)
        label = one.label.removeprefix(_CONTINUATION)
        if label != one.label and label in last:
            place = last[label]
            roles[place] = (label, (*roles[place][1], part))
        else:
            last[label] = len(roles)
            roles.append((label, (part,)))
    return roles


def _f1(found: Sequence[Iterable[Hashable]], true: Sequence[Iterable[Hashable]]) -> float:
    mine, theirs = (
        {(row, one) for row, ones in enumerate(side) for one in ones} for side in (found, true)
    )
    return _score("", len(mine), len(theirs), len(mine & theirs)).f1


def _score(label: str, found: int, true: int, right: int) -> LabelScore:
    return LabelScore(
        label,
        precision=right / found if found else 0.0,
        recall=right / true if true else 0.0,
        f1=2 * right / (found + true) if found + true else 0.0,
        support=true,
    )
