"""Words between spaces, the units of CoNLL, and their tags."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from prefixes.answers.entities import BACKGROUND
from prefixes.encoded import EncodedText, Span
from training.tasks.tags import Mention, mentions_of

_WORD: Final = re.compile(r"\S+")


def words_of(text: str) -> list[Span]:
    return [found.span() for found in _WORD.finditer(text)]


def word_mentions(text: str, tags: Sequence[str]) -> tuple[Mention, ...]:
    """Return the mentions of a text whose words have these tags."""
    return mentions_of(text, words_of(text), tags)


def first_tags(text: str, encoded: EncodedText, tags: Sequence[str]) -> list[str]:
    """Return the tag of each word: that of its first token, or `O` if it was truncated."""
    words = words_of(text)
    starts = [start for start, _ in words]
    of_word = [BACKGROUND] * len(words)
    for token in reversed(range(len(encoded.spans))):
        span = encoded.spans[token]
        if span is not None:
            of_word[bisect_right(starts, span[0]) - 1] = tags[token]
    return of_word


def tags_of_words(text: str, mentions: Sequence[Mention]) -> list[str]:
    """Return the tag of each word. A word is part of a mention if they share a character."""
    tags = []
    begun: Mention | None = None
    for start, end in words_of(text):
        here = next((one for one in mentions if one.start < end and one.end > start), None)
        if here is None:
            tags.append(BACKGROUND)
        else:
            tags.append(f"{'I' if here is begun else 'B'}-{here.label}")
        begun = here
    return tags
