"""Occlusion: explains a label by leaving out parts of the input's fields, one at a time.

The method is that of Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks"
(2014), and of Li et al., "Understanding Neural Networks through Representation Erasure" (2016). It
needs forward passes only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import regex

from prefixes.characters import is_blank, visible_span
from prefixes.encoded import OccludedPart, Span
from prefixes.errors import InputRejected
from prefixes.spec import PrefixSpec

DEFAULT_PARTS: Final = 64
MAX_PARTS: Final = 1000
"""Maximum number of parts of one input. The server's limits on texts apply as well."""

_MAX_WORD: Final = 256
"""Number of characters in which the last word must end, if only its beginning was read."""

_WORD_BOUNDARY: Final = regex.compile(r"(?wV1)\b")

_FLAGS: Final = regex.compile(r"(?:\p{RI}[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*){1,2}|\P{RI}+")
"""Matches a pair of regional indicators, or other text. Within a run of n such indicators, `\\b`
takes time proportional to the square of n."""


@dataclass(frozen=True, slots=True)
class OcclusionOptions:
    """The parts of an input to leave out, and the label to explain; None for the answer's label.

    `spans` are parts by field, in the order of the answer; None stands for the only field. Without
    `spans`, each word is a part. Adjacent words are joined to have at most `max_parts` parts.
    """

    label: str | None = None
    spans: Mapping[str | None, Sequence[Span]] | None = None
    max_parts: int = DEFAULT_PARTS


def parts_of(
    spec: PrefixSpec,
    texts: Mapping[str, str],
    num_read: Mapping[str, int],
    options: OcclusionOptions,
) -> list[OccludedPart]:
    """List the parts of an input that an explanation leaves out.

    Args:
        spec: description of a sequence classification task.
        texts: the text of each field.
        num_read: number of characters of each field that are not truncated. Words behind them are
            not parts: the answer does not depend on them.
        options: as the caller wrote them.

    Raises:
        InputRejected: when an option does not fit the task or the input.
    """
    if options.label is not None and options.label not in spec.labels:
        raise InputRejected(
            f"`explain_label`: the task has no label {options.label!r:.100}. Use one of its "
            f"labels, such as {spec.labels[0]!r:.100}, or omit the option."
        )
    if options.spans is not None:
        return list(_given(texts, options.spans))
    words = {name: words_of(text, num_read[name]) for name, text in texts.items()}
    return list(_joined(texts, words, options.max_parts))


def words_of(text: str, num_read: int | None = None) -> list[Span]:
    """Find the words that begin in the first `num_read` characters, by default in all.

    Words are the segments of Unicode's default word boundaries (UAX 29) that have a visible
    character. Punctuation marks are words, and so are the characters of scripts that need a
    dictionary, such as Chinese or Thai.
    """
    end = len(text) if num_read is None else num_read
    return [span for span in _segments(text[: end + _MAX_WORD]) if span[0] < end]


def without(text: str, span: Span, max_characters: int) -> str:
    """Leave a span out of a text, and return the first `max_characters` of the rest."""
    start, end = span
    return (text[: min(start, max_characters)] + text[end : end + max_characters])[:max_characters]


def _segments(text: str) -> Iterator[Span]:
    start = 0
    for run in _FLAGS.findall(text):
        for segment in _WORD_BOUNDARY.split(run):
            end = start + len(segment)
            if not is_blank(segment):
                yield start, end
            start = end


def _given(
    texts: Mapping[str, str], spans: Mapping[str | None, Sequence[Span]]
) -> Iterator[OccludedPart]:
    for name, some in spans.items():
        field = _field_of(texts, name)
        size, visible = len(texts[field]), visible_span(texts[field])
        for start, end in some:
            if not 0 <= start < end <= size:
                raise InputRejected(
                    f"`explain_spans`: the span [{start}, {end}] does not fit the field {field!r}: "
                    f"expected 0 <= start < end <= {size}, its number of characters"
                )
            yield _part(field, (start, end), visible, num_words=0)


def _field_of(texts: Mapping[str, str], name: str | None) -> str:
    if name is None and len(texts) == 1:
        return next(iter(texts))
    if name is None or name not in texts:
        found = "a list" if name is None else f"the field {name!r:.100}"
        expected = ", ".join(f'"{field}": [[start, end], ...]' for field in texts)
        raise InputRejected(f"`explain_spans`: expected {{{expected}}}; found {found}")
    return name


def _joined(
    texts: Mapping[str, str], words: Mapping[str, Sequence[Span]], max_parts: int
) -> Iterator[OccludedPart]:
    """Join adjacent words of one field to parts of equal numbers of words."""
    counts = {name: len(some) for name, some in words.items() if some}
    if len(counts) > max_parts:
        raise InputRejected(
            f"`explain_max_parts` is {max_parts}, but the input has words in {len(counts)} fields: "
            "allow at least one part for each"
        )
    for name, share in zip(counts, _shares(list(counts.values()), max_parts), strict=True):
        visible = visible_span(texts[name])
        bounds = [counts[name] * number // share for number in range(share + 1)]
        for first, behind in pairwise(bounds):
            span = (words[name][first][0], words[name][behind - 1][1])
            yield _part(name, span, visible, num_words=behind - first)


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """Divide parts among fields: one for each, and the others in proportion to their words."""
    total, others = sum(counts), most - len(counts)
    if total <= most:
        return list(counts)
    sums = accumulate((count - 1 for count in counts), initial=0)
    bounds = [others * words // (total - len(counts)) for words in sums]
    return [1 + behind - first for first, behind in pairwise(bounds)]


def _part(field: str, span: Span, visible: Span, *, num_words: int) -> OccludedPart:
    is_all = span[0] <= visible[0] and visible[1] <= span[1]
    return OccludedPart(field, *span, num_words, is_all)
