"""Cuts: the beginning of a text, or the windows of a long text or of a question's context."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prefixes.encoded import Window
from prefixes.errors import TextTooLong
from prefixes.spec import MAX_WINDOWS, LongTexts

Owners = Sequence[int | None]
"""The part that each token belongs to, 0 or 1; None for special tokens."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The indexes of the kept tokens; `is_truncated` if some tokens are in no cut."""

    tokens: Sequence[int]
    is_truncated: bool
    window: Window | None = None


def first_cut(owners: Owners, max_length: int) -> Cut:
    """Keep all special tokens, and the beginning of each part.

    Raises:
        TextTooLong: when even the special tokens do not fit.
    """
    if len(owners) <= max_length:
        return Cut(range(len(owners)), is_truncated=False)
    specials, parts = _by_part(owners)
    room = _room(max_length, len(specials))
    first, second = _longest_first(len(parts[0]), len(parts[1]), room)
    kept = sorted([*specials, *parts[0][:first], *parts[1][:second]])
    return Cut(kept, is_truncated=True)


def context_cuts(owners: Owners, max_length: int, *, stride: int) -> list[Cut]:
    """Cut a pair into windows of the first part and a piece of the second.

    The first part is truncated to half of the length. See `_starts` for the pieces, of which there
    are at most `MAX_WINDOWS`.

    Raises:
        TextTooLong: when even the special tokens do not fit.
    """
    specials, (question, context) = _by_part(owners)
    room = _room(max_length, len(specials))
    kept = question[: max(1, room // 2)]
    size = room - len(kept)
    if size < 1:
        raise TextTooLong(f"The task allows at most {max_length} tokens, too few for a pair")
    starts = _starts(len(context), size, stride, MAX_WINDOWS)
    is_truncated = len(kept) < len(question) or starts[-1] + size < len(context)
    return [
        Cut(sorted([*specials, *kept, *context[start : start + size]]), is_truncated)
        for start in starts
    ]


def window_cuts(
    owners: Owners, max_length: int, rule: LongTexts, *, part: int | None = None
) -> list[Cut]:
    """Cut a text into windows if it is too long.

    Of a pair, one part is cut into pieces. Every window has the other part too, which is truncated
    to half of the length if both are longer.

    Args:
        owners: the part of each token.
        max_length: maximum number of tokens of a window.
        rule: how windows overlap, how many there are, and how they are merged.
        part: the part that is cut into pieces; None selects the longer one.

    Raises:
        TextTooLong: when even the special tokens do not fit, or nothing fits next to them.
    """
    if len(owners) <= max_length or rule.merge == "first":
        cut = first_cut(owners, max_length)
        window = Window(0, 0, len(cut.tokens), rule.merge)
        return [Cut(cut.tokens, cut.is_truncated, window)]
    specials, parts = _by_part(owners)
    room = _room(max_length, len(specials))
    number = int(len(parts[1]) > len(parts[0])) if part is None else part
    long, other = parts[number], parts[1 - number]
    kept = other[: max(room // 2, room - len(long))]
    size = room - len(kept)
    if long and size < 1:
        raise TextTooLong(f"The task allows at most {max_length} tokens, too few for a window")
    starts = _starts(len(long), size, rule.stride, rule.max_windows)
    is_truncated = len(kept) < len(other) or starts[-1] + size < len(long)
    windows = [sorted([*specials, *kept, *long[start : start + size]]) for start in starts]
    middles = [long[(start + size + after) // 2] for start, after in pairwise(starts)]
    return [
        Cut(tokens, is_truncated, Window(place, start, end, rule.merge))
        for place, (tokens, (start, end)) in enumerate(
            zip(windows, _own_ranges(windows, middles), strict=True)
        )
    ]


def _own_ranges(
    windows: Sequence[Sequence[int]], middles: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Divide the tokens between windows, at the middle of each overlap."""
    ends = [bisect_left(tokens, middle) for tokens, middle in zip(windows, middles, strict=False)]
    starts = [
        bisect_left(tokens, middle) for tokens, middle in zip(windows[1:], middles, strict=True)
    ]
    return zip([0, *starts], [*ends, len(windows[-1])], strict=True)


def _starts(length: int, size: int, stride: int, max_windows: int) -> list[int]:
    """Return where pieces of `size` tokens start in a part with `length` tokens.

    Pieces overlap by `stride` tokens, but by at most half of a piece, so that no token is in three.
    Those after the first `max_windows` are left out.
    """
    step = size - min(stride, size // 2)
    starts = [0]
    while starts[-1] + size < length and len(starts) < max_windows:
        starts.append(starts[-1] + step)
    return starts


def _by_part(owners: Owners) -> tuple[list[int], tuple[list[int], list[int]]]:
    first, second = ([i for i, owner in enumerate(owners) if owner == part] for part in (0, 1))
    return [i for i, owner in enumerate(owners) if owner is None], (first, second)


def _room(max_length: int, num_specials: int) -> int:
    if num_specials > max_length:
        raise TextTooLong(
            f"The task allows at most {max_length} tokens, too few for the {num_specials} special "
            "tokens of the backbone"
        )
    return max_length - num_specials


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Divide `room` tokens between two parts by shortening the longer one first.

    This is the `longest_first` strategy of the tokenizers library.
    """
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)
