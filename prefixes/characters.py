"""Characters as readers see them: grapheme clusters (Unicode UAX 29), and invisible text."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import regex

from prefixes.encoded import Span

_MAX_GROWTH: Final = 32
"""Maximum number of code points that a span grows on each side. Stream-safe text (UAX 15) has at
most 30 marks in a row. Without a limit, every span of a text of marks would span the whole text."""

_VISIBLE: Final = regex.compile(r"[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB]")
_LAST_VISIBLE: Final = regex.compile(f"(?r){_VISIBLE.pattern}")

HALF_SURROGATE: Final = "half of a surrogate pair, which is not valid Unicode"
"""Describes in messages what `first_surrogate` finds."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_CLUSTER: Final = regex.compile(r"\X")
_JOINING: Final = regex.compile(r"[^\p{GCB=Other}\p{GCB=Control}\p{GCB=LV}\p{GCB=LVT}\r\n]")
"""In a text without these code points, every code point is a cluster. CR LF is an exception, but it
is white space, with which no span begins or ends."""


def is_blank(text: str) -> bool:
    """Say whether a text consists of white space, control characters and invisible characters."""
    return _VISIBLE.search(text) is None


def visible_span(text: str) -> Span:
    """Return the span from the first visible character to the last; (0, 0) without any."""
    first, last = _VISIBLE.search(text), _LAST_VISIBLE.search(text)
    return (0, 0) if first is None or last is None else (first.start(), last.end())


def first_surrogate(text: str) -> int | None:
    """Return the index of the first unpaired surrogate, high or low, or None for valid Unicode.

    JSON can write one alone. UTF-8 cannot encode it, so no response or file could carry it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def replace_surrogates(text: str) -> str:
    """Replace each unpaired surrogate with U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def whole_characters(text: str, span: Span) -> Span:
    """Trim white space from a token's span, and extend the span to whole grapheme clusters."""
    start, end = _trimmed(text, span)
    if start == end or text.isascii():
        return start, end
    clusters = _long_clusters(text)
    first, _ = clusters.get(start, (start, start))
    _, last = clusters.get(end, (end, end))
    # A mark may combine with white space, as in " \u0301"; a span does not begin with that.
    return _trimmed(text, (max(first, start - _MAX_GROWTH), min(last, end + _MAX_GROWTH)))


def _trimmed(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


@lru_cache(maxsize=8)  # called once per token of a text
def _long_clusters(text: str) -> Mapping[int, Span]:
    """Map each index inside a cluster to that cluster."""
    if _JOINING.search(text) is None:
        return {}
    inside: dict[int, Span] = {}
    start = 0
    for cluster in _CLUSTER.findall(text):
        end = start + len(cluster)
        for place in range(start + 1, end):
            inside[place] = (start, end)
        start = end
    return inside
