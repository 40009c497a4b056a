"""Heads of several labels per text, from few features."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes.answers import sigmoid
from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures
from training.few_shot.heads_by_label import log_odds
from training.few_shot.selection import (
    FOLDS,
    ROWS_TO_CHOOSE,
    SEVERAL_LABELS,
    folds_of,
    served_head,
)

HIDDEN = 12


def mixtures(
    num_labels: int, num_rows: int, *, share: float = 0.4, seed: int = 0, noise: float = 0.5
) -> tuple[Features, Features, NDArray[np.int64]]:
    """Return the centers of labels, rows near the means of their labels' centers, and the flags.

    The first center is that of rows without a label, and not among those that are returned.
    """
    generator = np.random.default_rng(seed)
    centers = 3 * generator.normal(size=(num_labels + 1, HIDDEN))
    flags = (generator.random((num_rows, num_labels)) < share).astype(np.int64)
    weights = np.concatenate([flags.sum(axis=1, keepdims=True) == 0, flags], axis=1)
    rows = weights @ centers / weights.sum(axis=1, keepdims=True)
    return centers[1:], rows + noise * generator.normal(size=rows.shape), flags


def share_right(logits: Features, flags: NDArray[np.int64]) -> float:
    return float(((logits > 0) == flags).mean())


def test_rows_separate_each_label_from_all_others() -> None:
    names, features, flags = mixtures(4, 400)
    served = served_head(names, features[:200], flags[:200], SEVERAL_LABELS)
    assert share_right(served.head(features[200:]), flags[200:]) > 0.9
    assert share_right(served.left_out, flags[:200]) > 0.9


def test_names_alone_rank_the_labels_of_a_text_first() -> None:
    names, features, flags = mixtures(4, 200)
    none = np.empty((0, 4), np.int64)
    served = served_head(names, np.empty((0, HIDDEN)), none, SEVERAL_LABELS)
    logits = served.head(features)
    some = (flags.sum(axis=1) > 0) & (flags.sum(axis=1) < 4)
    best = logits[some].argmax(axis=1)
    assert flags[some][np.arange(len(best)), best].mean() > 0.9


def test_a_label_without_rows_is_found_by_its_name() -> None:
    names, features, flags = mixtures(4, 300, share=0.3)
    is_shown = flags[:, 2] == 0
    served = served_head(names, features[is_shown], flags[is_shown], SEVERAL_LABELS)
    logits = served.head(features)[:, 2]
    assert np.median(logits[~is_shown]) > np.quantile(logits[is_shown], 0.9)


@pytest.mark.parametrize("noise", [0.5, 6.0])
def test_probabilities_of_left_out_rows_are_those_of_new_ones(noise: float) -> None:
    names, features, flags = mixtures(3, 900, noise=noise)
    served = served_head(names, features[:300], flags[:300], SEVERAL_LABELS)
    chances = sigmoid(served.head(features[300:]))
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        inside = (chances >= low) & (chances < high)
        if inside.sum() > 100:
            assert flags[300:][inside].mean() == pytest.approx(chances[inside].mean(), abs=0.12)


def test_a_row_of_several_labels_counts_for_each_of_them_when_a_head_is_chosen() -> None:
    names, features, flags = mixtures(4, 12, share=0.6)
    chosen = replace(SEVERAL_LABELS.usual, name="chosen")
    family = replace(SEVERAL_LABELS, candidates=(chosen,))
    assert len(flags) < ROWS_TO_CHOOSE * 4 <= flags.sum()
    assert served_head(names, features, flags, family).computed_by == "chosen"
    few = served_head(names, features[:4], flags[:4], family)
    assert few.computed_by == SEVERAL_LABELS.usual.name


def test_rare_labels_are_less_likely_before_a_text_is_read() -> None:
    flags = np.zeros((98, 2), np.int64)
    flags[:49, 0] = 1
    features = np.ones((98, HIDDEN))
    rare = log_odds(LabeledFeatures(features, flags, np.ones((2, HIDDEN))))
    assert rare == pytest.approx([0, np.log(1 / 99)])
    none = LabeledFeatures(np.empty((0, HIDDEN)), np.zeros((0, 5), np.int64), np.ones((5, HIDDEN)))
    assert log_odds(none) == pytest.approx([np.log(1 / 4)] * 5)


def test_folds_share_the_rows_of_every_combination() -> None:
    flags = np.array([[0, 0]] * 20 + [[0, 1]] * 30 + [[1, 1]] * 50)
    order = np.random.default_rng(0).permutation(100)
    folds = folds_of(flags[order])
    for labels, count in (((0, 0), 20), ((0, 1), 30), ((1, 1), 50)):
        mine = folds[(flags[order] == labels).all(axis=1)]
        assert np.bincount(mine, minlength=FOLDS).tolist() == [count // 10] * 10
