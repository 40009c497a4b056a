"""Spans of a text that no answer can equal, because they do not begin or end with tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefixes.encoded import Span


@dataclass(frozen=True, slots=True)
class UnalignedSpan:
    """A slice that rows give, and what of the text an answer can be in its place.

    `whole` is None where the tokenizer drops all characters of the slice.
    """

    given: Span
    whole: Span | None

    @property
    def is_inside(self) -> bool:
        """Whether the slice begins or ends inside what answers are made of."""
        if self.whole is None:
            return False
        return self.whole[0] < self.given[0] or self.given[1] < self.whole[1]


def unaligned_span(
    given: Span, parts: Sequence[Span], *, is_truncated: bool
) -> UnalignedSpan | None:
    """Compare a span with the parts that answers consist of, which are in order.

    None where it is made of parts, and where truncation cut off its end.
    """
    start, end = given
    if is_truncated and (not parts or parts[-1][1] < end):
        return None
    shared = [part for part in parts if part[0] < end and start < part[1]]
    whole = (shared[0][0], shared[-1][1]) if shared else None
    return None if whole == given else UnalignedSpan(given, whole)
