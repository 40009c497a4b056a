"""EncodedText: a text as tokens, and which characters of the user's text each stands for."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int]
"""Characters of a text, from the first to after the last, as Python slices count them."""

_JOINER: Final = "\u200d"
_FLAG_LETTERS: Final = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_LONGEST: Final = 32
"""What a span grows by at most, on either side. Unicode's stream-safe text has 30 marks in a row
at most (UAX 15), and a hostile one could be all of a single character."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text's tokens, special tokens included; `is_truncated` says that its end was cut off.

    Where answers point into the user's text, `spans` gives each token's characters in it and
    `words` the number of the word that it is part of, both None for tokens of anything else;
    for other tasks both are empty.
    """

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    is_truncated: bool = False
    spans: Sequence[Span | None] = ()
    words: Sequence[int | None] = ()


EncodedInput = tuple[EncodedText, ...]
"""One input as the texts that the backbone runs for it: one, one for each choice, or one for each
window of a long context."""


def whole_characters(text: str, span: Span) -> Span:
    """Trim white space from a token's span, and never end it between a letter and its marks."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start == end:
        return start, end
    first, last = max(0, start - _LONGEST), min(len(text), end + _LONGEST)
    while first < start and _is_attached(text, start) and not text[start - 1].isspace():
        start -= 1
    while end < last and _is_attached(text, end):
        end += 1
    return start, end


def _is_attached(text: str, place: int) -> bool:
    """Say whether a character belongs to the one before it: a mark, or a part of an emoji."""
    character = text[place]
    if character in _FLAG_LETTERS:
        before = text[max(0, place - _LONGEST) : place]
        return (len(before) - len(before.rstrip(_FLAG_LETTERS))) % 2 == 1  # two are a flag
    return (
        unicodedata.category(character).startswith("M")
        or character == _JOINER
        or (text[place - 1] == _JOINER and not character.isspace())
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags, as in the flag of Wales
    )
