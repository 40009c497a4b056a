"""Long documents with a known answer, made from the rows of a set and of neutral sentences.

Neutral sentences say nothing about any label, and have no names.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from bench.labeled_rows import Row, Rows

Documents = Callable[[Rows, np.random.Generator], Iterator[Row]]
"""Makes documents from rows, as many as its caller takes."""

NEUTRAL: Final = (
    "It was a quiet afternoon, and nothing much happened.",
    "The window was open, and the curtain moved a little.",
    "Two chairs stood next to the table in the corner.",
    "The road goes up the hill and then down again.",
    "Somebody had left a cup on the shelf near the door.",
    "It rained in the morning, but later the sky was clear.",
    "The clock on the wall was a few minutes slow.",
    "There were several boxes of paper under the stairs.",
    "The garden is larger than it looks from the street.",
    "A bird sat on the fence for a while and flew away.",
    "The lamp was switched on although it was still light.",
    "Most of the leaves had already fallen from the trees.",
    "The floor had been swept, and the room smelled of soap.",
    "They walked along the river and turned back at the bridge.",
    "The coat was hanging where it always hangs.",
    "On the other side of the wall, a dog was barking.",
    "The soup was warm, and the bread was a day old.",
    "A light wind came from the north during the night.",
    "The stones on the path were still wet.",
    "He closed the book and put it back in its place.",
)


def as_they_are(rows: Rows, rng: np.random.Generator) -> Iterator[Row]:
    """Return rows in another order."""
    for place in rng.permutation(len(rows)).tolist():
        yield rows[place]


def with_neutral(
    rows: Rows, rng: np.random.Generator, *, sentences: int, at_end: bool
) -> Iterator[Row]:
    """Put a number of neutral sentences before each text, which is then at the end, or after it."""
    for row in as_they_are(rows, rng):
        neutral = " ".join(_neutral(rng, sentences))
        parts = (neutral, row["text"]) if at_end else (row["text"], neutral)
        yield {**row, "text": " ".join(parts)}


def tagged_at_end(rows: Rows, rng: np.random.Generator, *, sentences: int) -> Iterator[Row]:
    """Put a number of neutral sentences, without a tag, before the tagged tokens of each row."""
    for row in as_they_are(rows, rng):
        neutral = " ".join(_neutral(rng, sentences)).split()
        tags = [*["O"] * len(neutral), *row["tags"]]
        yield {"tokens": [*neutral, *row["tokens"]], "tags": tags}


def of_one_label(rows: Rows, rng: np.random.Generator, *, texts: int) -> Iterator[Row]:
    """Join a number of texts of one label, which is drawn for each document."""
    labels = sorted({row["label"] for row in rows})
    while True:
        label = labels[rng.integers(len(labels))]
        own = [row["text"] for row in rows if row["label"] == label]
        yield {"text": " ".join(rng.choice(own, texts)), "label": label}


def of_all_labels(rows: Rows, rng: np.random.Generator, *, texts: int) -> Iterator[Row]:
    """Join a number of texts with several labels each. The document has the labels of all."""
    while True:
        some = [rows[place] for place in rng.integers(len(rows), size=texts).tolist()]
        labels = dict.fromkeys(label for row in some for label in row["label"])
        yield {"text": " ".join(row["text"] for row in some), "label": list(labels)}


def neutral_documents(*, sentences: int) -> dict[str, Documents]:
    """Return the documents of a text and neutral sentences, by what they are called."""
    return {
        "text, then neutral sentences": partial(with_neutral, sentences=sentences, at_end=False),
        "neutral sentences, then text": partial(with_neutral, sentences=sentences, at_end=True),
    }


def _neutral(rng: np.random.Generator, sentences: int) -> Sequence[Any]:
    return [NEUTRAL[place] for place in rng.integers(len(NEUTRAL), size=sentences).tolist()]
