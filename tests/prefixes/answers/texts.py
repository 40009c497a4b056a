"""Texts as tokens by hand: which pieces they fall into, and which words those are of."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefixes.characters import whole_characters
from prefixes.encoded import EncodedText, Span

Logits = NDArray[np.float32]

ALPHABET = "ab e\u0301\u200d👩🔬👍🏽漢字\u05e9\u05dc\u0938\u094d.\n"


def encode(text: str, words: Sequence[str], *, question: int = 0) -> EncodedText:
    """Give a text's words as tokens, their pieces parted by `|`, between special tokens.

    `question` tokens of another text and a special token stand before it.
    """
    spans: list[Span | None] = [None] * (1 + question + (question > 0))
    numbers: list[int | None] = [None] * len(spans)
    place = 0
    for number, word in enumerate(words):
        for piece in word.split("|"):
            start = text.index(piece, place)
            place = start + len(piece)
            spans.append(whole_characters(text, (start, place)))
            numbers.append(number)
    spans.append(None)
    numbers.append(None)
    return EncodedText([7] * len(spans), [0] * len(spans), spans=spans, words=numbers)


def logits_of(labels: Sequence[str], tags: Sequence[str], *, sure: float = 4.0) -> Logits:
    """Logits that tag every token as told, special tokens included."""
    logits = np.zeros((len(tags), len(labels)), dtype=np.float32)
    for token, tag in enumerate(tags):
        logits[token, labels.index(tag)] = sure
    return logits


@st.composite
def token_cases(draw: st.DrawFn, num_outputs: int) -> tuple[str, EncodedText, Logits]:
    """A text cut into tokens anywhere, also inside of characters, and logits for them."""
    text = draw(st.text(st.sampled_from(ALPHABET), min_size=1, max_size=30))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2)) | {0, len(text)})
    spans: list[Span | None] = [None]
    words: list[int | None] = [None]
    for start, end in itertools.pairwise(cuts):
        begin, stop = whole_characters(text, (start, end))
        spans.append((begin, stop) if begin < stop else None)
        is_next = draw(st.booleans())
        words.append((words[-1] or 0) + is_next if spans[-1] is not None else words[-1])
    size: Any = (len(spans), num_outputs)
    numbers = st.lists(
        st.floats(-8, 8, width=32), min_size=size[0] * size[1], max_size=size[0] * size[1]
    )
    logits = np.array(draw(numbers), dtype=np.float32).reshape(size)
    return text, EncodedText([7] * size[0], [0] * size[0], spans=spans, words=words), logits
