import numpy as np
import pytest

from prefixes.answers import best_label, chosen_labels, ranked, sigmoid, softmax
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

TOPICS = {"problem_type": "multi_label_classification", "labels": ("a", "b", "c")}


def test_logits_however_large_give_probabilities() -> None:
    huge = np.array([3e4, -3e4], dtype=np.float32)
    assert softmax(huge).tolist() == [1.0, 0.0]
    assert sigmoid(huge).tolist() == [1.0, 0.0]


def test_every_row_of_a_softmax_sums_to_one() -> None:
    rows = softmax(np.array([[0.0, np.log(3)], [5.0, 5.0]]))
    assert rows.tolist() == [pytest.approx([0.25, 0.75]), [0.5, 0.5]]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    spec = make_spec(BACKBONE, **TOPICS)
    for top_k, labels in ((None, ["a", "b", "c"]), (2, ["a", "b"]), (10**30, ["a", "b", "c"])):
        assert [label for label, _ in ranked(spec, np.ones(3), top_k)] == labels


def test_scores_are_ranked_the_highest_first() -> None:
    spec = make_spec(BACKBONE, **TOPICS)
    assert ranked(spec, np.array([1.0, 3.0, 2.0])) == [("b", 3.0), ("c", 2.0), ("a", 1.0)]


def test_labels_are_chosen_by_their_own_thresholds() -> None:
    logits = np.array([0.0, np.log(3), -np.log(3)])  # probabilities 0.5, 0.75, 0.25
    assert chosen_labels(make_spec(BACKBONE, **TOPICS), logits) == ["a", "b"]
    own = make_spec(BACKBONE, **TOPICS, thresholds=(0.6, 0.8, 0.2))
    assert chosen_labels(own, logits) == ["c"]


def test_the_best_label_is_that_of_the_highest_logit() -> None:
    assert best_label(make_spec(BACKBONE), np.array([-5.0, -4.0])) == "good"
