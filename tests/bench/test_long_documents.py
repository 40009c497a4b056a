"""Long documents have the answers of the rows that they are made of."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from bench.few_row_sets import first_of_each
from bench.labeled_rows import Row, Rows, with_entity_types
from bench.long_documents import (
    NEUTRAL,
    as_they_are,
    neutral_documents,
    of_all_labels,
    of_one_label,
    tagged_at_end,
)

ROWS: Rows = [{"text": f"{label} {number}", "label": label} for label in "ab" for number in "12"]


def some(documents: Iterator[Row], number: int = 20) -> list[Row]:
    return list(islice(documents, number))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_every_row_is_read_once() -> None:
    found = some(as_they_are(ROWS, rng()))
    assert sorted(row["text"] for row in found) == ["a 1", "a 2", "b 1", "b 2"]


@pytest.mark.parametrize("kind", ["text, then neutral sentences", "neutral sentences, then text"])
def test_the_text_with_the_label_stands_at_one_end(kind: str) -> None:
    for row in some(neutral_documents(sentences=3)[kind](ROWS, rng())):
        text = str(row["text"])
        own = text[:3] if kind.startswith("text") else text[-3:]
        assert own.startswith(row["label"])
        assert sum(text.count(sentence) for sentence in NEUTRAL) == 3


def test_tags_stay_with_their_tokens() -> None:
    rows = [{"tokens": ["in", "New", "York"], "tags": ["O", "B-Loc", "I-Loc"]}]
    (row,) = some(tagged_at_end(rows, rng(), sentences=60))
    assert len(row["tokens"]) == len(row["tags"]) > 400
    assert row["tags"][-3:] == ["O", "B-Loc", "I-Loc"]
    assert set(row["tags"][:-2]) == {"O"}


def test_a_document_of_one_label_has_only_its_texts() -> None:
    documents = some(of_one_label(ROWS, rng(), texts=4))
    assert {row["label"] for row in documents} == {"a", "b"}
    for row in documents:
        assert row["text"].split()[::2] == [row["label"]] * 4


def test_a_document_has_the_labels_of_all_its_texts() -> None:
    rows = [{"text": label, "label": [label]} for label in "abc"] + [{"text": "d", "label": []}]
    for row in some(of_all_labels(rows, rng(), texts=2)):
        assert set(row["label"]) == set(row["text"].split()) - {"d"}


def test_texts_are_labeled_with_the_types_of_their_entities() -> None:
    tags = ["B-Loc", "I-Loc", "O", "B-Peop", "B-Loc"]
    rows = [{"tokens": list("abcde"), "tags": tags}, {"tokens": ["f"], "tags": ["O"]}]
    assert with_entity_types(rows) == [
        {"text": "a b c d e", "label": ["Loc", "Peop"]},
        {"text": "f", "label": []},
    ]


def test_rows_are_drawn_until_each_label_has_enough() -> None:
    flags = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [0, 1]])
    order = np.arange(5)
    assert first_of_each(flags, order, 0).tolist() == []
    assert first_of_each(flags, order, 1).tolist() == [0, 2]
    assert first_of_each(flags, order, 2).tolist() == [0, 1, 2, 4]
