"""EncodedText: a text as tokens, and which characters of the user's text each stands for."""

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""Characters of a text, from the first to after the last, as Python slices count them."""


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
