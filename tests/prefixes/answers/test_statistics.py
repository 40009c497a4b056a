"""Statistics of answers: what is counted, and when two histograms differ."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from prefixes.answers.statistics import count_answers, stability_index
from prefixes.encoded import EncodedText
from prefixes.spec import PrefixSpec
from prefixes.spec.statistics import NUM_LENGTHS, AnswerStatistics
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

UNKNOWN = 100


def text_of(length: int, unknown: int = 0) -> tuple[EncodedText]:
    ids = [UNKNOWN] * unknown + [7] * (length - unknown)
    return (EncodedText(ids, [0] * length),)


def count(spec: PrefixSpec, *logits: Sequence[float], texts: Any = None) -> AnswerStatistics:
    outputs = [[np.array(row, np.float32)] for row in logits]
    inputs = texts or [text_of(5)] * len(logits)
    return count_answers(spec, inputs, outputs, unknown_token=UNKNOWN)


def test_labels_and_the_probability_of_the_best_are_counted() -> None:
    found = count(make_spec(BACKBONE), [0, 0], [0, math.log(3)], [0, 50], [50, 0])
    assert found.texts == 4
    assert found.labels == (2, 2, 0)
    assert found.scores == (0, 0, 0, 0, 0, 1, 0, 1, 0, 2)


def test_a_text_may_have_several_labels_or_none() -> None:
    spec = make_spec(
        BACKBONE,
        problem_type="multi_label_classification",
        labels=("a", "b", "c"),
        thresholds=(0.5, 0.9, 0.5),
    )
    found = count(spec, [1, 1, 1], [-1, 1, -1], [0, 5, -1])
    assert found.labels == (2, 1, 1, 1)


def test_lengths_and_unknown_tokens_are_counted_in_their_bins() -> None:
    texts = [text_of(1), text_of(2), text_of(3), text_of(512, 6), text_of(4, 4), text_of(10**6)]
    found = count(make_spec(BACKBONE), *[[0, 1]] * 6, texts=texts)
    lengths = {place: number for place, number in enumerate(found.lengths) if number}
    assert lengths == {0: 1, 2: 1, 3: 1, 4: 1, 18: 1, NUM_LENGTHS - 1: 1}
    assert found.unknown == (4, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize(
    "kind", ["token_classification", "question_answering", "multiple_choice", "embedding"]
)
def test_other_tasks_have_statistics_of_their_texts_alone(kind: str) -> None:
    inputs = [(*text_of(3), *text_of(5))]
    outputs = [[np.zeros((3, 2), np.float32), np.zeros((5, 2), np.float32)]]
    found = count_answers(make_spec(BACKBONE, task_type=kind), inputs, outputs, unknown_token=None)
    assert (found.labels, found.scores) == ((), ())
    assert found.lengths[6] == 1  # of both texts: 8 tokens


def test_counts_add_up() -> None:
    one, other = count(make_spec(BACKBONE), [0, 1]), count(make_spec(BACKBONE), [1, 0], [1, 0])
    assert (one + other).labels == (2, 1, 0)
    assert (one + other).texts == 3


def test_the_index_is_that_of_the_definition() -> None:
    # Shares of (0.505, 0.495) and (0.255, 0.745), with half a text in each bin.
    index, _ = stability_index([50, 49], [25, 74])
    p, q = np.array([50.5, 49.5]) / 100, np.array([25.5, 74.5]) / 100
    assert index == pytest.approx(float(((p - q) * np.log(p / q)).sum()))


def test_equal_shares_have_the_index_zero_and_empty_bins_do_not_count() -> None:
    index, by_chance = stability_index([10, 0, 10], [10, 0, 10])
    assert index == 0
    assert by_chance == stability_index([10, 10], [10, 10])[1]


def test_without_texts_nothing_can_be_said() -> None:
    assert stability_index([1, 2], [0, 0]) == (0.0, math.inf)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.1, 0.2, 0.3, 0.4), (0.02,) * 50])
def test_samples_of_the_same_texts_rarely_exceed_what_chance_allows(
    shares: tuple[float, ...],
) -> None:
    random = np.random.default_rng(0)
    exceeding = [
        index > by_chance
        for one, other in (random.multinomial(400, shares, size=2) for _ in range(400))
        for index, by_chance in [stability_index(one.tolist(), other.tolist())]
    ]
    assert 0.01 <= np.mean(exceeding) <= 0.1
