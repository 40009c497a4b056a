"""Truncation: keeping the beginning of a text, or the windows of a long context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prefixes.errors import TextTooLong

MAX_WINDOWS: Final = 32
"""Maximum number of windows per context; the rest of the context is ignored."""

Owners = Sequence[int | None]
"""The part that each token belongs to, 0 or 1; None for special tokens."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The indexes of the kept tokens; `is_truncated` if some tokens are in no cut."""

    tokens: Sequence[int]
    is_truncated: bool


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


def window_cuts(owners: Owners, max_length: int, *, stride: int) -> list[Cut]:
    """Cut a pair into windows of the first part and a piece of the second.

    Pieces overlap by `stride` tokens, but by at most half of a piece. The first part is truncated
    to half of the length, and pieces after the first `MAX_WINDOWS` are ignored.

    Raises:
        TextTooLong: when even the special tokens do not fit.
    """
    specials, (question, context) = _by_part(owners)
    room = _room(max_length, len(specials))
    kept = question[: max(1, room // 2)]
    size = room - len(kept)
    if size < 1:
        raise TextTooLong(f"The task allows at most {max_length} tokens, too few for a pair")
    step = size - min(stride, size // 2)
    starts = [0]
    while starts[-1] + size < len(context) and len(starts) < MAX_WINDOWS:
        starts.append(starts[-1] + step)
    is_truncated = len(kept) < len(question) or starts[-1] + size < len(context)
    return [
        Cut(sorted([*specials, *kept, *context[start : start + size]]), is_truncated)
        for start in starts
    ]


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
