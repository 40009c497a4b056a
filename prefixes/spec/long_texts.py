"""LongTexts: how a task reads a text that is longer than its maximum length."""

from typing import Final

from pydantic import Field

from prefixes.encoded import Merge
from prefixes.spec.parts import MAX_TOKENS
from prefixes.values import Value

MAX_WINDOWS: Final = 32
"""Maximum number of windows per text, unless a task sets its own; the rest of it is ignored."""

MAX_WINDOWS_OF_TASK: Final = 256
"""Maximum number that a task may set."""


class LongTexts(Value):
    """A long text is cut into overlapping windows, and their outputs are merged.

    Windows overlap by `stride` tokens, but by at most half of their length. `merge` belongs to
    sequence classification. Embeddings are always averaged, and every token of a text for token
    classification has the output of one window.
    """

    stride: int = Field(default=64, ge=0, le=MAX_TOKENS)
    merge: Merge = "mean"
    max_windows: int = Field(default=MAX_WINDOWS, ge=1, le=MAX_WINDOWS_OF_TASK)
