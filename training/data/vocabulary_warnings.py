"""Warnings about texts that the backbone's vocabulary does not cover."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prefixes.backbone import Backbone, EncodedInput
from training.errors import at, few
from training.examples import Examples, Input
from training.tasks import TaskDefinition

UNREADABLE: Final = 0.05
"""Share of unknown tokens above which a backbone cannot read the texts."""
_MORE: Final = 1.5
"""Minimum ratio of the unknown tokens of a label to the average for the label to be named."""
_ROWS: Final = 100
_CHARACTERS: Final = 10_000
"""Numbers of rows and characters that are used to recognize the script."""
_NAMES: Final = {"CJK": "Chinese characters", "HANGUL": "Korean", "HIRAGANA": "Japanese"}
"""Script names that differ from the first word of the names of their characters."""


@dataclass(frozen=True, slots=True)
class UnknownTokens:
    """Numbers of unknown tokens (`counts`) and of all tokens without special ones, by input."""

    counts: Sequence[int]
    totals: Sequence[int]

    @classmethod
    def of(cls, backbone: Backbone, encoded: Sequence[EncodedInput]) -> "UnknownTokens":
        unknown = backbone.texts.unknown_token
        pairs = [_count(texts, unknown) for texts in encoded]
        return cls([count for count, _ in pairs], [total for _, total in pairs])

    @property
    def share(self) -> float:
        return sum(self.counts) / max(1, sum(self.totals))


def vocabulary_warnings(
    definition: TaskDefinition[Any],
    labels: Sequence[str],
    examples: Examples[Any],
    tokens: UnknownTokens,
    backbone: str,
) -> Iterator[str]:
    """Warn about unknown tokens: among all rows, or among the rows of a label.

    `backbone` is its name.
    """
    rows = [row for row, count in enumerate(tokens.counts) if count]
    shares = _by_label(definition, labels, examples, tokens)
    worst = {
        label: share
        for label, share in sorted(shares.items(), key=lambda pair: -pair[1])
        if share >= max(UNREADABLE, _MORE * tokens.share)
    }
    if not rows or (tokens.share < UNREADABLE and not worst) or examples.source is None:
        return
    named = few([f"{label!r} ({share:.1%})" for label, share in worst.items()])
    yield (
        f"{examples.source.name}: {sum(tokens.counts)} of {sum(tokens.totals)} tokens "
        f"({tokens.share:.1%}) are unknown to the backbone {backbone}, "
        f"{at(examples.source, [examples.lines[row] for row in rows])}"
        f"{f', most in rows with the label {named}' if worst else ''}: it cannot read these texts, "
        f"however long it is trained. Use a backbone whose vocabulary has "
        f"{_script([examples.inputs[row] for row in rows[:_ROWS]])}"
    )


def _count(texts: EncodedInput, unknown: int | None) -> tuple[int, int]:
    """Count unknown tokens, and all tokens without special ones."""
    count = total = 0
    for text in texts:
        ids = list(text.token_ids)
        count += 0 if unknown is None else ids.count(unknown)
        total += len(ids) - sum(ids.count(one) for one in {ids[0], ids[-1]} - {unknown})
    return count, total


def _by_label(
    definition: TaskDefinition[Any],
    labels: Sequence[str],
    examples: Examples[Any],
    tokens: UnknownTokens,
) -> Mapping[str, float]:
    counts, totals = Counter[str](), Counter[str]()
    for truth, count, total in zip(examples.truths, tokens.counts, tokens.totals, strict=True):
        for label in definition.labels_in(labels, truth):
            counts[label] += count
            totals[label] += total
    return {label: counts[label] / total for label, total in totals.items() if total}


def _script(inputs: Sequence[Input]) -> str:
    """Return the most frequent script other than Latin."""
    texts = "".join(part for fields in inputs for text in fields.values() for part in text)
    scripts = Counter(
        unicodedata.name(letter, "").partition(" ")[0]
        for letter in texts[:_CHARACTERS]
        if letter.isalpha()
    )
    del scripts["LATIN"]
    if not scripts:
        return "their words and symbols"
    ((script, _),) = scripts.most_common(1)
    name = _NAMES.get(script, f"{script.capitalize()} letters")
    return f"{name}: one for that language, or a multilingual one"
