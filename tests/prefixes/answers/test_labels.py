import numpy as np
import pytest

from prefixes.answers import ranked, sigmoid, softmax

TOPICS = {"problem_type": "multi_label_classification", "labels": ("a", "b", "c")}


def test_logits_however_large_give_probabilities() -> None:
    huge = np.array([3e4, -3e4], dtype=np.float32)
    assert softmax(huge).tolist() == [1.0, 0.0]
    assert sigmoid(huge).tolist() == [1.0, 0.0]


def test_every_row_of_a_softmax_sums_to_one() -> None:
    rows = softmax(np.array([[0.0, np.log(3)], [5.0, 5.0]]))
    assert rows.tolist() == [pytest.approx([0.25, 0.75]), [0.5, 0.5]]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    for top_k, labels in ((None, ["a", "b", "c"]), (2, ["a", "b"]), (10**30, ["a", "b", "c"])):
        assert [label for label, _ in ranked("abc", np.ones(3), top_k)] == labels


def test_scores_are_ranked_the_highest_first() -> None:
    assert ranked("abc", np.array([1.0, 3.0, 2.0])) == [("b", 3.0), ("c", 2.0), ("a", 1.0)]
