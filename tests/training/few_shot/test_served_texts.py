"""Rows with long texts: their windows are merged, and the head is calibrated on the result."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from prefixes.backbone import Backbone, EncodedInput, EncodedText
from prefixes.encoded import Window
from prefixes.lengths import AS_SERVED
from prefixes.spec import Decisions, LongTexts
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE
from tests.training.few_shot.test_heads import HIDDEN, clusters
from training.data.encoding import encode_rows
from training.examples import Examples
from training.few_shot.features import Features
from training.few_shot.selection import ServedHead, served_head
from training.few_shot.served_texts import ServedTexts

SPEC = make_spec(BACKBONE, labels=("a", "b", "c"))


def windows(lengths: list[int]) -> EncodedInput:
    return tuple(
        EncodedText([7] * size, [0] * size, window=Window(place, 0, size, "mean"))
        for place, size in enumerate(lengths)
    )


def test_windows_are_merged_for_their_row_and_short_rows_stay() -> None:
    long_rows = {0: windows([6, 2]), 2: windows([4, 4, 4])}
    texts = ServedTexts.of_rows(SPEC, np.eye(4, HIDDEN), long_rows, np.zeros((5, HIDDEN)))
    assert texts.rows.tolist() == [1, 3, 0, 0, 2, 2, 2]
    chances = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]
    chances += [[0.8, 0.1, 0.1], [0.4, 0.5, 0.1]]
    chances += [[0.6, 0.2, 0.2], [0.3, 0.3, 0.4], [0.3, 0.4, 0.3]]

    merged = np.exp(texts.merged(np.log(np.array(chances))))

    assert merged[[1, 3]] == pytest.approx(np.array(chances[:2]))
    assert merged[0] == pytest.approx([0.7, 0.2, 0.1])
    assert merged[2] == pytest.approx([0.4, 0.3, 0.3])


def test_only_texts_of_several_windows_are_long_and_only_with_the_rule(backbone: Backbone) -> None:
    rows = Examples(({"text": "good"}, {"text": "good film " * 8}), (0, 1))
    rule = Decisions(long_texts=LongTexts(stride=2))
    plain = make_spec(backbone.fingerprint, max_length=8)
    ruled = make_spec(backbone.fingerprint, max_length=8, decisions=rule)

    assert not encode_rows(backbone, plain, rows, AS_SERVED).long_rows()
    assert [*encode_rows(backbone, ruled, rows, AS_SERVED).long_rows()] == [1]


def documents(count: int, *, seed: int) -> tuple[Features, NDArray[np.int64], ServedTexts]:
    """Rows of five windows about their label, each of them noisy; the first is the beginning."""
    names, _, labels = clusters([count] * 3)
    noise = np.random.default_rng(seed).normal(size=(len(labels), 5, HIDDEN))
    each = names[labels][:, None] + 8 * noise
    long_rows = {row: windows([4] * 5) for row in range(len(labels))}
    texts = ServedTexts.of_rows(SPEC, each[:, 0], long_rows, each.reshape(-1, HIDDEN))
    return each[:, 0], labels, texts


def surprise(served: ServedHead, labels: NDArray[np.int64], texts: ServedTexts) -> float:
    scores = log_softmax(texts.merged(served.head(texts.features)), axis=1)
    return float(-scores[np.arange(len(labels)), labels].mean())


def test_a_head_is_calibrated_on_the_merged_probabilities_of_windows() -> None:
    names, _, _ = clusters([1] * 3, seed=0)
    features, labels, texts = documents(30, seed=1)
    _, truths, others = documents(200, seed=2)

    alone = served_head(names, features, labels)
    merged = served_head(names, features, labels, served=texts)

    assert merged.left_out.shape == alone.left_out.shape == (90, 3)
    assert surprise(merged, truths, others) < surprise(alone, truths, others) - 0.1
    own = log_softmax(merged.left_out, axis=1)[np.arange(90), labels]
    assert -own.mean() == pytest.approx(surprise(merged, truths, others), abs=0.1)
