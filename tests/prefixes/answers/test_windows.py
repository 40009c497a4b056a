"""Merged windows: probabilities, numbers, vectors and tags, as if a text had been read whole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefixes import HeadSpec, PrefixSpec
from prefixes.answers import decide, rules_of, sigmoid, softmax, whole_outputs, whole_texts
from prefixes.encoded import EncodedText, Merge, Window
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE

Rows = list[list[float]]

ONE = make_spec(BACKBONE, labels=("a", "b", "c"))
SEVERAL = make_spec(BACKBONE, labels=("a", "b", "c"), problem_type="multi_label_classification")
NUMBER = make_spec(BACKBONE, labels=("score",), problem_type="regression")
VECTOR = make_spec(BACKBONE, task_type="embedding", head=HeadSpec(pooling="mean", normalize=True))
TAGS = make_spec(BACKBONE, task_type="token_classification")

LENGTHS = [10, 10, 4]
WEIGHTS = np.array(LENGTHS) / 24


def windows(merge: Merge = "mean", lengths: list[int] = LENGTHS) -> tuple[EncodedText, ...]:
    return tuple(
        EncodedText([7] * size, [0] * size, window=Window(place, 0, size, merge))
        for place, size in enumerate(lengths)
    )


def merged(spec: PrefixSpec, rows: Any, merge: Merge = "mean") -> np.ndarray[Any, Any]:
    texts = windows(merge)[: len(rows)]
    (result,) = whole_outputs(spec, texts, [np.array(row, dtype=np.float32) for row in rows])
    return result


def rows(width: int, *, limit: float = 50) -> st.SearchStrategy[Rows]:
    row = st.lists(st.floats(-limit, limit, width=32), min_size=width, max_size=width)
    return st.lists(row, min_size=3, max_size=3)


@given(logits=rows(3))
def test_one_label_has_the_mean_probability_of_the_windows(logits: Rows) -> None:
    found = merged(ONE, logits)

    expected = WEIGHTS @ softmax(np.array(logits))
    assert softmax(found) == pytest.approx(expected, abs=1e-5)
    totals = np.logaddexp.reduce(np.array(logits), axis=1)
    assert np.logaddexp.reduce(found) == pytest.approx(WEIGHTS @ totals, abs=1e-4)


@given(logits=rows(3))
def test_one_label_has_its_highest_probability_as_a_share_of_all(logits: Rows) -> None:
    highest = softmax(np.array(logits)).max(axis=0)

    found = softmax(merged(ONE, logits, "max"))

    assert found == pytest.approx(highest / highest.sum(), abs=1e-5)


@given(logits=rows(3, limit=12))
def test_each_of_several_labels_has_its_own_mean_or_highest_probability(logits: Rows) -> None:
    each = sigmoid(np.array(logits))

    assert sigmoid(merged(SEVERAL, logits)) == pytest.approx(WEIGHTS @ each, abs=1e-5)
    assert sigmoid(merged(SEVERAL, logits, "max")) == pytest.approx(each.max(axis=0), abs=1e-5)


@pytest.mark.parametrize("spec", [ONE, SEVERAL])
@pytest.mark.parametrize("merge", ["mean", "max"])
def test_windows_that_are_certain_give_finite_logits(spec: PrefixSpec, merge: Merge) -> None:
    certain = [[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [1e4, -1e4, 0.0]]

    found = merged(spec, certain, merge)

    assert found == pytest.approx(certain[0], rel=1e-6)


@pytest.mark.parametrize("spec", [ONE, SEVERAL, NUMBER])
@pytest.mark.parametrize("merge", ["mean", "max"])
def test_equal_windows_keep_their_logits(spec: PrefixSpec, merge: Merge) -> None:
    row = [0.5, -1.25, 3.0][: spec.num_outputs]

    assert merged(spec, [row] * 3, merge) == pytest.approx(row, abs=1e-6)


@pytest.mark.parametrize("merge", ["mean", "max"])
def test_windows_that_contradict_each_other_tie_and_the_first_label_is_the_answer(
    merge: Merge,
) -> None:
    two = make_spec(BACKBONE, labels=("a", "b"))
    found = merged(two, [[-4.0, 4.0], [4.0, -4.0]], merge)

    assert found[0] == found[1]
    assert decide(two, found, rules_of(two)).label == "a"


def test_hundreds_of_labels_are_merged_as_a_few_are() -> None:
    spec = make_spec(BACKBONE, labels=[f"label {number}" for number in range(700)])
    logits = np.random.default_rng(0).normal(size=(3, 700))
    highest = softmax(logits).max(axis=0)

    assert softmax(merged(spec, logits)) == pytest.approx(WEIGHTS @ softmax(logits), abs=1e-6)
    assert softmax(merged(spec, logits, "max")) == pytest.approx(highest / highest.sum(), abs=1e-6)


def test_a_task_of_one_label_is_merged_as_one_of_several_is() -> None:
    only = make_spec(BACKBONE, labels=("a",), problem_type="multi_label_classification")
    logits = [[1.0], [-2.0], [0.5]]

    assert sigmoid(merged(only, logits)) == pytest.approx(WEIGHTS @ sigmoid(np.array(logits)))
    assert merged(only, logits, "max").tolist() == [1.0]


def test_numbers_are_averaged_by_tokens() -> None:
    assert merged(NUMBER, [[1.0], [2.0], [12.0]]) == pytest.approx([78 / 24])
    assert merged(NUMBER, [[1.0], [2.0], [12.0]], "max").tolist() == [12.0]


def test_vectors_are_averaged_by_tokens_and_scaled_to_length_1() -> None:
    units = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    expected = np.array([10.0, 14.0]) / np.hypot(10, 14)
    free = VECTOR.model_copy(update={"head": HeadSpec(pooling="mean")})

    assert merged(VECTOR, units) == pytest.approx(expected)
    assert merged(free, units) == pytest.approx([10 / 24, 14 / 24])


def test_opposite_vectors_give_zeros_and_not_nan() -> None:
    assert merged(VECTOR, [[1.0, 0.0], [-1.0, 0.0]]).tolist() == [0.0, 0.0]


def test_a_single_window_keeps_its_outputs_exactly() -> None:
    row = np.array([0.1, 0.2, 0.3], dtype=np.float32)

    (found,) = whole_outputs(ONE, windows()[:1], [row])

    assert found.tobytes() == row.tobytes()


def test_texts_without_windows_are_returned_as_they_are() -> None:
    texts = (EncodedText([1], [0]), EncodedText([2], [0]))
    outputs = [np.zeros(2, dtype=np.float32)] * 2

    assert whole_texts(texts) is texts
    assert whole_outputs(ONE, texts, outputs) is outputs


def test_the_windows_of_two_texts_are_merged_apart() -> None:
    texts = (*windows()[:2], *windows()[:3])
    vectors = [np.array(row, dtype=np.float32) for row in ([1, 0], [1, 0], [0, 1], [0, 1], [0, 1])]

    found = whole_outputs(VECTOR, texts, vectors)

    assert [row.tolist() for row in found] == [[1.0, 0.0], [0.0, 1.0]]
    assert [len(text.token_ids) for text in whole_texts(texts)] == [20, 24]


def test_each_token_of_a_text_occurs_once_with_the_output_of_its_own_window() -> None:
    spans = [(n, n + 1) for n in range(6)]
    first = EncodedText(
        [2, 10, 11, 12, 13, 3],
        [0] * 6,
        spans=[None, *spans[:4], None],
        words=[None, 0, 1, 2, 3, None],
        window=Window(0, 0, 4, "mean"),
    )
    second = EncodedText(
        [2, 12, 13, 14, 15, 3],
        [0] * 6,
        spans=[None, *spans[2:], None],
        words=[None, 2, 3, 4, 5, None],
        window=Window(1, 2, 6, "mean"),
    )
    outputs = [np.full((6, 3), side, dtype=np.float32) for side in (1, 2)]

    (text,) = whole_texts((first, second))
    (values,) = whole_outputs(TAGS, (first, second), outputs)

    assert text.token_ids == [2, 10, 11, 12, 13, 14, 15, 3]
    assert text.spans == [None, *spans, None]
    assert text.words == [None, 0, 1, 2, 3, 4, 5, None]
    assert values[:, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert text.window is None


def test_a_window_without_tokens_of_its_own_adds_nothing() -> None:
    texts = tuple(
        EncodedText([2, token, 3], [0] * 3, window=Window(place, start, end, "mean"))
        for place, (token, start, end) in enumerate([(10, 0, 2), (11, 1, 1), (12, 1, 3)])
    )

    (text,) = whole_texts(texts)
    (values,) = whole_outputs(TAGS, texts, [np.full((3, 3), x, np.float32) for x in (1, 2, 3)])

    assert text.token_ids == [2, 10, 12, 3]
    assert values[:, 0].tolist() == [1, 1, 3, 3]
