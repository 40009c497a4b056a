"""Which tokens of a text stay: its beginning, or the windows of a long context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prefixes.errors import TextTooLong

MAX_WINDOWS: Final = 32
"""Windows of one context; what lies behind the last of them is cut off."""

Owners = Sequence[int | None]
"""Each token's part, 0 or 1, or None for a special token."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The numbers of the tokens that stay; `is_truncated` says that others are seen nowhere."""

    tokens: Sequence[int]
    is_truncated: bool


def first_cut(owners: Owners, max_length: int) -> Cut:
    """Keep every special token, and the beginning of each part.

    Raises:
        TextTooLong: when not even the special tokens fit.
    """
    if len(owners) <= max_length:
        return Cut(range(len(owners)), is_truncated=False)
    specials, parts = _sorted_out(owners)
    room = _room(max_length, len(specials))
    first, second = _longest_first(len(parts[0]), len(parts[1]), room)
    kept = sorted([*specials, *parts[0][:first], *parts[1][:second]])
    return Cut(kept, is_truncated=True)


def window_cuts(owners: Owners, max_length: int, *, stride: int) -> list[Cut]:
    """Cut a pair into windows: every one has the first part whole and a piece of the second.

    Pieces overlap by `stride` tokens, or by half of a piece where that is less. A first part
    takes half of the length at most; the first `MAX_WINDOWS` pieces are seen.

    Raises:
        TextTooLong: when not even the special tokens fit.
    """
    specials, (question, context) = _sorted_out(owners)
    room = _room(max_length, len(specials))
    asked = question[: max(1, room // 2)]
    size = room - len(asked)
    if size < 1:
        raise TextTooLong(f"The task takes at most {max_length} tokens, too few for a pair")
    step = size - min(stride, size // 2)
    starts = [0]
    while starts[-1] + size < len(context) and len(starts) < MAX_WINDOWS:
        starts.append(starts[-1] + step)
    is_truncated = len(asked) < len(question) or starts[-1] + size < len(context)
    return [
        Cut(sorted([*specials, *asked, *context[start : start + size]]), is_truncated)
        for start in starts
    ]


def _sorted_out(owners: Owners) -> tuple[list[int], tuple[list[int], list[int]]]:
    first, second = ([i for i, owner in enumerate(owners) if owner == part] for part in (0, 1))
    return [i for i, owner in enumerate(owners) if owner is None], (first, second)


def _room(max_length: int, num_specials: int) -> int:
    if num_specials > max_length:
        raise TextTooLong(
            f"The task takes at most {max_length} tokens, too few for the {num_specials} special "
            "tokens of the backbone"
        )
    return max_length - num_specials


def _longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Share `room` tokens between two parts by shortening the longer one first.

    The same split as the `longest_first` strategy of the tokenizers library.
    """
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)
