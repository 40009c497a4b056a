"""Entities: from the logits of a text's tokens to labeled slices of the text.

The strategies and their results are those of transformers' token classification pipeline. The
tokenizer defines the words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import Scores, softmax
from prefixes.encoded import EncodedText
from prefixes.spec import PrefixSpec

Strategy = Literal["none", "simple", "first", "average", "max"]
"""How tokens become entities:

- `none` returns every token separately, with its whole tag.
- `simple` joins adjacent tokens of one type.
- `first`, `average` and `max` first choose one tag per word: the tag of its first token, of its
  mean scores, or of the token with the highest score.
"""

BACKGROUND: Final = "O"
"""The label of tokens outside entities."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A labeled slice of a text: `text` is exactly its characters `start` to `end`.

    `label` is the type, such as `person`, or with the strategy `none` the tag, such as `B-person`.
    `score` is the mean of the softmax scores of its words. `index` is the index of its first token,
    counting special tokens.
    """

    label: str
    score: float
    start: int
    end: int
    text: str
    index: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Tokens that share one tag: a word, or tokens with characters in common."""

    tokens: Sequence[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _TaggedUnit:
    """A unit with the type and score of its tag; `begins` if the tag started with `B-`."""

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
    """Find the entities of a text, in text order. They overlap only with the strategy `none`.

    Tags are `B-x`, `I-x` and `O`; a label without `B-` or `I-` is a type itself. Adjacent units of
    one type form one entity unless the second has a tag `B-x`.

    Args:
        spec: description of a token classification task.
        text: the user's text, the spec's `sliced_field`.
        encoded: the tokens of the text.
        logits: `[S, C]`, one row per token.
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
    """Group the tokens of each word, and always tokens that share characters.

    The bytes of an emoji, for example, may be separate tokens, but cannot be separate slices.
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
    """Compute the scores that decide the tag of each unit, `[units, C]`."""
    match strategy:
        case "average":
            sizes = np.array([len(unit.tokens) for unit in units])
            tokens = [token for unit in units for token in unit.tokens]
            sums = np.add.reduceat(scores[tokens], np.cumsum(sizes) - sizes, axis=0)
            means: Scores = sums / sizes[:, None]
            return means
        case "max":
            highest = scores.max(axis=-1).tolist()
            return scores[[max(unit.tokens, key=highest.__getitem__) for unit in units]]
        case "first" | "simple" | "none":
            return scores[[unit.tokens[0] for unit in units]]
        case _:
            assert_never(strategy)


def _tagged(spec: PrefixSpec, units: Sequence[Unit], scores: Scores) -> list[_TaggedUnit]:
    tags = [spec.labels[number] for number in scores.argmax(axis=-1).tolist()]
    return [
        _TaggedUnit(
            unit,
            label=tag[2:] if tag[:2] in {"B-", "I-"} else tag,
            begins=tag.startswith("B-"),
            score=score,
        )
        for unit, tag, score in zip(units, tags, scores.max(axis=-1).tolist(), strict=True)
    ]


def _groups(tagged: Sequence[_TaggedUnit]) -> list[list[_TaggedUnit]]:
    """Group adjacent units of one type, and drop those outside entities."""
    groups: list[list[_TaggedUnit]] = []
    previous = BACKGROUND
    for one in tagged:
        if one.label != BACKGROUND:
            if one.label == previous and not one.begins:
                groups[-1].append(one)
            else:
                groups.append([one])
        previous = one.label
    return groups


def _entity(text: str, group: Sequence[_TaggedUnit]) -> Entity:
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
