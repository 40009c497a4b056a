"""What a reader sees of a text: whole characters, or nothing at all.

A character that a reader sees as one is a grapheme cluster of Unicode (UAX 29).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import regex

from prefixes.encoded import Span

_MAX_GROWTH: Final = 32
"""Code points by which a span grows on either side. Stream-safe text (UAX 15) has at most 30 marks
in a row; without a bound, every span of a text of marks alone would be as long as the text."""

_VISIBLE: Final = regex.compile(r"[^\s\p{Cc}\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB]")

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

_CLUSTER: Final = regex.compile(r"\X")
_JOINING: Final = regex.compile(r"[^\p{GCB=Other}\p{GCB=Control}\p{GCB=LV}\p{GCB=LVT}\r\n]")
"""Without one of these code points, every code point of a text is a cluster; a line break of two
is white space, and no span has that at its ends."""


def is_blank(text: str) -> bool:
    """Say whether a text has only white space, control characters and invisible characters."""
    return _VISIBLE.search(text) is None


def first_surrogate(text: str) -> int | None:
    """Return the index of the first half of a surrogate pair, or None for valid Unicode.

    JSON can write such a half. UTF-8 cannot encode it, so no response or file could carry it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def replace_surrogates(text: str) -> str:
    """Replace each half of a surrogate pair with U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def whole_characters(text: str, span: Span) -> Span:
    """Trim white space from a token's span, and never split a grapheme cluster."""
    start, end = _trimmed(text, span)
    if start == end or text.isascii():
        return start, end
    clusters = _long_clusters(text)
    first, _ = clusters.get(start, (start, start))
    _, last = clusters.get(end, (end, end))
    # A mark may stand on white space, as in " \u0301": no span begins with that.
    return _trimmed(text, (max(first, start - _MAX_GROWTH), min(last, end + _MAX_GROWTH)))


def _trimmed(text: str, span: Span) -> Span:
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


@lru_cache(maxsize=8)  # a text is asked for once for each of its tokens
def _long_clusters(text: str) -> Mapping[int, Span]:
    """Give the cluster around each place that is inside of one."""
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
