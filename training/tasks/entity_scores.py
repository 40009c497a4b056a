"""How well found entities match the true ones: exactly, or not at all."""

from collections import Counter
from collections.abc import Sequence

from training.metrics import LabelScore, Measurement
from training.tasks.tags import Mention


def score_entities(
    found: Sequence[set[Mention]],
    true: Sequence[Sequence[Mention]],
    *,
    token_accuracy: float,
) -> Measurement:
    """Hold the mentions found in n texts against the true ones.

    A mention counts when characters and type are the true ones: precision, recall and F1 are over
    all mentions of all texts, `macro_f1` is the mean F1 of the types.
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


def entity_f1(
    found: Sequence[set[Mention]], true: Sequence[Sequence[Mention]], *, but: str | None = None
) -> float:
    """Give the F1 over all mentions of n texts, but those of one type."""
    mine, theirs = (
        {(row, one) for row, mentions in enumerate(side) for one in mentions if one.label != but}
        for side in (found, true)
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
