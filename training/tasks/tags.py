"""Tags of tokens, and the mentions that they stand for: labeled spans of a text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prefixes.answers.entities import BACKGROUND, units_of
from prefixes.characters import whole_characters
from prefixes.encoded import EncodedText, Span
from training.tasks.losses import IGNORED
from training.tasks.tag_schemes import type_of
from training.tasks.unaligned_spans import UnalignedSpan, unaligned_span


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A span of a text: its characters `start` to `end`, and its type."""

    start: int
    end: int
    label: str


def join_tokens(tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """Join tokens with spaces, as in serving. Also return the span of each token."""
    spans = []
    start = 0
    for token in tokens:
        spans.append((start, start + len(token)))
        start += len(token) + 1
    return " ".join(tokens), spans


def mentions_of(text: str, spans: Sequence[Span], tags: Sequence[str]) -> tuple[Mention, ...]:
    """Return the mentions of a text whose tokens at `spans` have these tags.

    An `I-` tag that continues no mention begins one, as in the usual evaluation of CoNLL.
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
    """Return the number of the tag of each token.

    The first token of every word has the tag of the word, and the others are `IGNORED`, as in
    P-tuning v2. The tokenizer defines the words. A word is part of a mention if they share a
    character.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    targets = [IGNORED] * len(encoded.token_ids)
    for token, tag in _word_tags(mentions, encoded):
        # Labels of IOB1 may lack B-, and plain types have no marks.
        names = (tag, f"I-{type_of(tag)}", type_of(tag)) if tag[0] == "B" else (tag, type_of(tag))
        targets[token] = next((numbers[name] for name in names if name in numbers), IGNORED)
    return targets


def unaligned_mentions(mentions: Sequence[Mention], encoded: EncodedText) -> list[UnalignedSpan]:
    """Return the mentions that do not begin and end with words of the tokenizer."""
    if not mentions:
        return []
    words = [(unit.start, unit.end) for unit in units_of(encoded)]
    found = (
        unaligned_span((one.start, one.end), words, is_truncated=encoded.is_truncated)
        for one in mentions
    )
    return [span for span in found if span is not None]


def snap(mentions: Sequence[Mention], encoded: EncodedText) -> tuple[Mention, ...]:
    """Extend mentions to whole words. If two then share a word, keep the first."""
    unaligned = unaligned_mentions(mentions, encoded)
    whole = {one.given: one.whole for one in unaligned if one.whole is not None}
    snapped: list[Mention] = []
    for one in sorted(mentions):
        start, end = whole.get((one.start, one.end), (one.start, one.end))
        if not snapped or snapped[-1].end <= start:
            snapped.append(Mention(start, end, one.label))
    return tuple(snapped)


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
