"""EncodedText: a text as tokens, with the characters of the user's text behind each token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]
"""A range of characters: the index of the first, and the index after the last."""

Merge = Literal["mean", "max", "first"]
"""How the classifications of a text's windows become one:

- `mean`: the mean of the windows' probabilities or numbers, weighted by the windows' tokens;
- `max`: the highest of each label's probabilities or of the numbers;
- `first`: that of the first window. The others are not run.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a long text. `number` is 0 for the first.

    Windows overlap. Each token of the text counts for the window in which it has more context:
    those of this window's tokens from index `start` to `end` do. `merge` is how the
    classifications of all windows become one.
    """

    number: int
    start: int
    end: int
    merge: Merge


@dataclass(frozen=True, slots=True)
class OccludedPart:
    """The characters `start` to `end` of a field, which an explanation leaves out.

    `num_words` is the number of words among them, 0 for a span that the caller chose. `is_all` is
    set if no visible text would remain in the field.
    """

    field: str
    start: int
    end: int
    num_words: int
    is_all: bool


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text's tokens, including special tokens; `is_truncated` if its end was cut off.

    For tasks whose answers point into the user's text, `spans` holds each token's characters in
    that text, and `words` the index of its word. Both hold None for all other tokens. For other
    tasks, both are empty. For an input that is to be explained, `occluded_parts` of its first text
    are what to leave out. `window` is set if long texts of the task are cut into windows, even for
    a text that has only one.
    """

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    is_truncated: bool = False
    spans: Sequence[Span | None] = ()
    words: Sequence[int | None] = ()
    occluded_parts: Sequence[OccludedPart] = ()
    window: Window | None = None


EncodedInput = tuple[EncodedText, ...]
"""The texts that the backbone runs for one input: a single one, one per choice, or one per window
of a long context."""
