"""Entities: from the logits of a text's tokens to labelled slices of the text.

The strategies and their results are those of the token classification pipeline of transformers;
a word is what the tokenizer says it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import Scores, softmax
from prefixes.encoded import EncodedText
from prefixes.spec import PrefixSpec

Strategy = Literal["none", "simple", "first", "average", "max"]
"""How tokens become entities: `none` keeps every token by itself, with its whole tag; `simple`
joins neighbours of one type; the others first give each word one tag: that of its first token, of
its mean scores, or of its surest token."""

BACKGROUND: Final = "O"
"""The label of tokens that are part of nothing."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A labelled slice of a text: `text` is exactly its characters `start` to `end`.

    `label` is the type, as `person`; the tag, as `B-person`, when every token stands alone.
    `score` is the mean of the softmax scores of its words. `index` is the number of its first
    token in the text that was run, special tokens included.
    """

    label: str
    score: float
    start: int
    end: int
    text: str
    index: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Tokens that get one tag together: a word, or tokens of the same characters."""

    tokens: Sequence[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A unit with its tag, `B-` or `I-` taken off, and the score of it."""

    unit: Unit
    label: str
    begins: bool
    score: float


def find_entities(
    spec: PrefixSpec,
    text: str,
    encoded: EncodedText,
    logits: NDArray[np.floating[Any]],
    *,
    strategy: Strategy = "first",
) -> list[Entity]:
    """Find the entities of a text, in its order; only those of `none` may share characters.

    Tags are `B-x`, `I-x` and `O`; a label without `B-` or `I-` is a type by itself. Two
    neighbours of one type are one entity unless the second begins with `B-`.

    Args:
        spec: of a token classification.
        text: the user's text, the spec's `sliced_field`.
        encoded: its tokens.
        logits: `[S, C]`, of each of its tokens.
        strategy: see `Strategy`.
    """
    scores = softmax(logits)
    if strategy == "none":
        return list(_single_tokens(spec, text, encoded, scores))
    units = units_of(encoded, by_word=strategy != "simple")
    if not units:
        return []
    tagged = _tagged(spec, units, _deciding(units, scores, strategy))
    return [_entity(text, group) for group in _groups(tagged)]


def units_of(encoded: EncodedText, *, by_word: bool = True) -> list[Unit]:
    """Put tokens of a word together, and always those that share characters.

    The bytes of an emoji, say, are tokens of their own, but no slice of the text.
    """
    units: list[Unit] = []
    last_word: int | None = None
    for token, span in enumerate(encoded.spans):
        if span is None:
            continue
        word = encoded.words[token]
        is_same_word = by_word and word is not None and word == last_word
        if units and (is_same_word or span[0] < units[-1].end):
            last = units.pop()
            end = max(last.end, span[1])
            units.append(Unit([*last.tokens, token], last.start, end))
        else:
            units.append(Unit([token], *span))
        last_word = word
    return units


def _single_tokens(
    spec: PrefixSpec, text: str, encoded: EncodedText, scores: Scores
) -> Iterator[Entity]:
    best = scores.argmax(axis=-1).tolist()
    for token, span in enumerate(encoded.spans):
        label = spec.labels[best[token]]
        if span is not None and label != BACKGROUND:
            start, end = span
            score = float(scores[token, best[token]])
            yield Entity(label, score, start, end, text[start:end], token)


def _deciding(units: Sequence[Unit], scores: Scores, strategy: Strategy) -> Scores:
    """Give each unit the scores that decide its tag, `[units, C]`."""
    match strategy:
        case "average":
            sizes = np.array([len(unit.tokens) for unit in units])
            tokens = [token for unit in units for token in unit.tokens]
            sums = np.add.reduceat(scores[tokens], np.cumsum(sizes) - sizes, axis=0)
            means: Scores = sums / sizes[:, None]
            return means
        case "max":
            surest = scores.max(axis=-1).tolist()
            return scores[[max(unit.tokens, key=surest.__getitem__) for unit in units]]
        case _:
            return scores[[unit.tokens[0] for unit in units]]


def _tagged(spec: PrefixSpec, units: Sequence[Unit], scores: Scores) -> list[_Tagged]:
    tags = [spec.labels[number] for number in scores.argmax(axis=-1).tolist()]
    return [
        _Tagged(
            unit,
            label=tag[2:] if tag[:2] in {"B-", "I-"} else tag,
            begins=tag.startswith("B-"),
            score=score,
        )
        for unit, tag, score in zip(units, tags, scores.max(axis=-1).tolist(), strict=True)
    ]


def _groups(tagged: Sequence[_Tagged]) -> list[list[_Tagged]]:
    """Put neighbours of one type together, leaving out what is part of nothing."""
    groups: list[list[_Tagged]] = []
    previous = BACKGROUND
    for one in tagged:
        if one.label != BACKGROUND:
            if one.label == previous and not one.begins:
                groups[-1].append(one)
            else:
                groups.append([one])
        previous = one.label
    return groups


def _entity(text: str, group: Sequence[_Tagged]) -> Entity:
    first, last = group[0].unit, group[-1].unit
    score = sum(one.score for one in group) / len(group)
    return Entity(
        group[0].label,
        score,
        first.start,
        last.end,
        text[first.start : last.end],
        first.tokens[0],
    )
