"""Occlusion: how much the logit of a label changes without parts of the input."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefixes.answers.labels import Logits
from prefixes.spec import PrefixSpec


@dataclass(frozen=True, slots=True)
class LabelExplanation:
    """The logit of a label, and its change without each part; None where no text would remain.

    A negative change means that the part supports the label.
    """

    label: str
    logit: float
    changes: Sequence[float | None]


def explain(
    spec: PrefixSpec,
    logits: Logits,
    occluded: Sequence[Logits | None],
    *,
    label: str | None = None,
) -> LabelExplanation:
    """Compare the logits `[C]` of an input with those of the input without each part.

    Args:
        spec: description of a sequence classification task.
        logits: of the whole input.
        occluded: without each part; None where no text would remain.
        label: one of the task's labels. None, or any other, selects that with the highest logit.
    """
    if label not in spec.labels:
        label = spec.labels[int(logits.argmax())]
    place = spec.labels.index(label)
    logit = float(logits[place])
    changes = [None if one is None else float(one[place]) - logit for one in occluded]
    return LabelExplanation(label, logit, changes)
