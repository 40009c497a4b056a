"""Tags and what they stand for: mentions, which are labelled slices of a text."""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prefixes.answers.entities import BACKGROUND, units_of
from prefixes.encoded import EncodedText, Span, whole_characters
from training.losses import IGNORED

_IN_BIO: Final = {"S-": "B-", "U-": "B-", "E-": "I-", "L-": "I-"}
"""What the marks of BIOES (single, end) and BILOU (unit, last) are in BIO."""


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """What a text names: its characters `start` to `end`, and the type of it."""

    start: int
    end: int
    label: str


def type_of(tag: str) -> str:
    """Take `B-` or `I-` off a tag; a tag without them is a type by itself."""
    return tag[2:] if tag[:2] in {"B-", "I-"} else tag


def in_bio(tags: Iterable[str]) -> tuple[str, ...]:
    """List tags, those of BIOES and BILOU as the ones of BIO that say the same.

    Where not every tag has a mark, or none has one of BIO, `S-x` is the name of a type.
    """
    found = tuple(dict.fromkeys(tags))
    marks = {tag[:2] for tag in found if tag != BACKGROUND}
    if not marks & {"B-", "I-"} or marks - {"B-", "I-", *_IN_BIO}:
        return found
    return tuple(dict.fromkeys(_marked(tag) for tag in found))


def bio_of(tag: str, labels: Container[str]) -> str:
    """Take a tag of BIOES or BILOU for the one of BIO, unless it is a label of the task itself."""
    is_marked = f"B-{tag[2:]}" in labels or f"I-{tag[2:]}" in labels
    return _marked(tag) if is_marked and tag not in labels else tag


def _marked(tag: str) -> str:
    return _IN_BIO.get(tag[:2], tag[:2]) + tag[2:]


def all_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """List the tags of a task in which these occur: `O` first, then those of each type."""
    found = set(tags) - {BACKGROUND}
    plain = {tag for tag in found if type_of(tag) == tag}
    types = sorted({type_of(tag) for tag in found})
    each = [[name] if name in plain else [f"B-{name}", f"I-{name}"] for name in types]
    return (BACKGROUND, *(tag for tags_of_type in each for tag in tags_of_type))


def join_tokens(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """Join tokens with spaces, as they are served; say where each of them stands."""
    spans = []
    start = 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + 1
    return " ".join(tokens), spans


def mentions_of(text: str, spans: Sequence[Span], tags: Sequence[str]) -> tuple[Mention, ...]:
    """Read the mentions that tokens at `spans` of a text are tagged with.

    An `I-` that goes on with nothing begins a mention, as the usual evaluation of CoNLL has it.
    """
    found: list[Mention] = []
    previous = BACKGROUND
    for (start, end), tag in zip(spans, tags, strict=True):
        label = type_of(tag)
        if label != BACKGROUND:
            goes_on = label == previous and not tag.startswith("B-")
            first = found.pop().start if goes_on else start
            found.append(Mention(first, end, label))
        previous = label
    whole = [(one, whole_characters(text, (one.start, one.end))) for one in found]
    return tuple(Mention(*span, one.label) for one, span in whole if span[0] < span[1])


def tag_targets(
    labels: Sequence[str], mentions: Sequence[Mention], encoded: EncodedText
) -> list[int]:
    """Give each token of a text the number of its tag.

    The first token of every word carries the tag of the word, the others are `IGNORED`, as in
    P-tuning v2. A word is what the tokenizer says it is, and is part of a mention when they share
    a character.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    targets = [IGNORED] * len(encoded.token_ids)
    for token, tag in _word_tags(mentions, encoded):
        plain = numbers.get(type_of(tag), IGNORED)
        targets[token] = numbers.get(tag, plain)
    return targets


def _word_tags(mentions: Sequence[Mention], encoded: EncodedText) -> Iterator[tuple[int, str]]:
    waiting = sorted(mentions)
    begun: Mention | None = None
    for unit in units_of(encoded):
        while waiting and waiting[0].end <= unit.start:
            waiting.pop(0)
        if not waiting or waiting[0].start >= unit.end:
            yield unit.tokens[0], BACKGROUND
            continue
        yield unit.tokens[0], f"{'I' if waiting[0] is begun else 'B'}-{waiting[0].label}"
        begun = waiting[0]
