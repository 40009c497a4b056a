"""Metrics, each held against an example worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from training.tasks.metrics import measure


def one_hot(numbers: list[int], size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(size, dtype=np.float32)[numbers]


def test_a_single_label_is_measured_as_by_hand() -> None:
    # true a a a b b c, predicted a a b b c c
    targets = np.array([0, 0, 0, 1, 1, 2])
    result = measure("single_label_classification", "abc", one_hot([0, 0, 1, 1, 2, 2], 3), targets)
    assert result.metrics["accuracy"] == pytest.approx(4 / 6)
    # F1: a = 2*2/(3+2), b = 2*1/(2+2), c = 2*1/(1+2)
    assert result.metrics["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    # covariances: c*s - sum(p*t) = 4*6 - (2*3 + 2*2 + 2*1) = 12; of true 36-14, of predicted 36-12
    assert result.metrics["matthews"] == pytest.approx(12 / (22 * 24) ** 0.5)
    # true, given, rows
    assert result.confusion == [[0, 0, 2], [0, 1, 1], [1, 1, 1], [1, 2, 1], [2, 2, 1]]
    assert [(one.label, one.support) for one in result.per_label] == [("a", 3), ("b", 2), ("c", 1)]
    assert result.per_label[0].precision == 1.0
    assert result.per_label[0].recall == pytest.approx(2 / 3)


def test_several_labels_are_measured_as_by_hand() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=np.float32)
    predicted = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    result = measure("multi_label_classification", "ab", predicted * 4 - 2, targets)
    assert result.metrics["accuracy"] == pytest.approx(2 / 4)  # rows with all labels right
    assert result.metrics["micro_f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert result.metrics["macro_f1"] == pytest.approx((1 + 2 * 1 / 4) / 2)
    assert result.confusion == [[[2, 0], [0, 2]], [[1, 1], [1, 1]]]


def test_labels_are_chosen_by_their_own_thresholds() -> None:
    logits = np.array([[0.5, 0.5]], dtype=np.float32)  # a probability of 0.62
    targets = np.array([[1, 0]], dtype=np.float32)
    thresholds = np.array([0.6, 0.7])
    result = measure("multi_label_classification", "ab", logits, targets, thresholds=thresholds)
    assert result.metrics["accuracy"] == 1.0


def test_a_regression_is_measured_as_by_hand() -> None:
    targets = np.array([[1.0], [2.0], [3.0], [4.0]])
    predicted = np.array([[1.0], [3.0], [2.0], [9.0]])
    result = measure("regression", ["score"], predicted, targets)
    assert result.metrics["negative_mse"] == pytest.approx(-(0 + 1 + 1 + 25) / 4)
    assert result.metrics["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    # deviations -1.5 -.5 .5 1.5 against -2.75 -.75 -1.75 5.25
    assert result.metrics["pearson"] == pytest.approx(11.5 / (5 * 38.75) ** 0.5)


def test_equal_numbers_share_a_rank() -> None:
    targets = np.array([[1.0], [2.0], [2.0], [3.0]])
    result = measure("regression", ["score"], targets * 10, targets)
    assert result.metrics["spearman"] == pytest.approx(1.0)


def test_a_prefix_that_always_says_the_same_scores_nothing() -> None:
    flat = np.zeros((3, 1), dtype=np.float32)
    result = measure("regression", ["score"], flat, np.array([[1.0], [2.0], [3.0]]))
    assert result.metrics["pearson"] == result.metrics["spearman"] == 0.0
    labels = measure("single_label_classification", "ab", one_hot([0, 0], 2), np.array([0, 1]))
    assert labels.metrics["matthews"] == 0.0


def test_a_label_that_no_row_has_is_listed_and_counts_zero() -> None:
    result = measure("single_label_classification", "abc", one_hot([0, 1], 3), np.array([0, 1]))
    assert result.per_label[2].support == 0
    assert result.per_label[2].f1 == 0.0
    assert result.metrics["accuracy"] == 1.0


def test_the_confusion_of_many_labels_has_only_what_occurs() -> None:
    names = [f"label {number}" for number in range(3000)]
    predicted = np.arange(10)
    logits = np.zeros((10, len(names)), dtype=np.float32)
    logits[predicted, predicted] = 1
    targets = predicted.copy()
    targets[0] = 2999
    result = measure("single_label_classification", names, logits, targets)
    assert result.confusion is not None
    assert len(result.confusion) == 10
    assert [2999, 0, 1] in result.confusion
    assert result.only_answer is None


def test_rows_of_one_label_that_all_got_another_are_told() -> None:
    logits = one_hot([1, 1], 2)
    told, right = (
        measure("single_label_classification", "ab", logits, np.array(targets)).only_answer
        for targets in ([0, 0], [1, 1])
    )
    assert told == "b"
    assert right is None  # nothing tells whether other rows would be answered so


def test_matthews_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    targets, given = random.integers(0, 5, (2, 40))
    result = measure("single_label_classification", "abcdefg", one_hot(given.tolist(), 7), targets)
    expected = matthews_corrcoef(targets, given)
    assert result.metrics["matthews"] == pytest.approx(expected)
