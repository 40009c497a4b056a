"""Evaluation: every text gets its own logits, however the batches are cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from tests.factories import make_prefix, make_spec
from tests.training.learnable_tasks import sentiment_rows, write_jsonl
from training.data.parts import load_examples
from training.examples import Columns
from training.learning.evaluate import batches, evaluate, outputs_of, predictions
from training.tasks import definition_of


def answer_of(spec: PrefixSpec, logits: NDArray[np.float32]) -> dict[str, Any]:
    return definition_of(spec.task_type).answer(spec, {"text": "x"}, (), [logits])


def test_outputs_come_in_the_order_of_the_texts_however_batches_are_cut(
    backbone: Backbone,
) -> None:
    prefix = make_prefix(backbone.fingerprint)
    inputs = [{"text": "good " * (1 + n * 7 % 5)} for n in range(9)]
    texts = backbone.texts.encode(prefix.spec, inputs)
    together, alone = (
        np.array(outputs_of(backbone, prefix, texts, tokens_per_batch=tokens))
        for tokens in (1000, 1)
    )
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len({tuple(row) for row in np.round(alone[:, 0], 4).tolist()}) == 5


def test_every_input_has_the_outputs_of_its_own_texts(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="multiple_choice")
    inputs = [
        {"premise": "the film", "choices": ("is good", "is very very very bad", "was late")},
        {"premise": "my money", "choices": ("is lost and not here", "is free")},
    ]
    texts = backbone.texts.encode(prefix.spec, inputs)
    outputs = outputs_of(backbone, prefix, texts, tokens_per_batch=1000)
    assert [len(values) for values in outputs] == [3, 2]
    for each, values in zip(texts, outputs, strict=True):
        alone = outputs_of(backbone, prefix, [each], tokens_per_batch=1)[0]
        np.testing.assert_allclose(values, alone, atol=1e-5)


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = [3, 9, 4, 4, 30, 1]
    cut = batches([5, 0, 2, 3, 1, 4], lengths, 12)
    assert cut == [[5, 0, 2, 3], [1], [4]]
    assert batches([], lengths, 12) == []


def test_batches_that_run_at_once_end_together() -> None:
    rows = range(60)
    cut = batches(rows, [10] * 60, 250, at_once=2)  # three would do, and leave one alone
    assert [len(batch) for batch in cut] == [15, 15, 15, 15]
    assert [row for batch in cut for row in batch] == list(rows)


def test_a_prefix_is_measured_on_the_labels_it_knows(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(30))
    prefix = make_prefix(backbone.fingerprint)
    data = load_examples(path, prefix.spec, Columns())
    result = evaluate(backbone, prefix, data, tokens_per_batch=100)
    assert [score.label for score in result.per_label] == ["bad", "good"]
    answers = predictions(backbone, prefix, data.inputs, tokens_per_batch=100)
    chosen = [prefix.spec.labels.index(answer["label"]) for answer in answers]
    right = [one == truth for one, truth in zip(chosen, data.truths, strict=True)]
    assert result.metrics["accuracy"] == pytest.approx(np.mean(right))


def test_predictions_say_what_the_logits_mean(backbone: Backbone) -> None:
    single = make_spec(backbone.fingerprint, labels=("a", "b", "c"))
    logits = np.array([1000.0, 999.0, -1000.0], dtype=np.float32)
    answer = answer_of(single, logits)
    assert answer["label"] == "a"
    assert answer["score"] == pytest.approx(0.7311, abs=1e-4)
    assert sum(answer["scores"].values()) == pytest.approx(1)


def test_predictions_of_several_labels_keep_to_their_thresholds(backbone: Backbone) -> None:
    several = make_spec(
        backbone.fingerprint,
        problem_type="multi_label_classification",
        labels=("a", "b", "c"),
        thresholds=(0.5, 0.9, 0.1),
    )
    logits = np.array([0.1, 2.0, -2.0], dtype=np.float32)
    answer = answer_of(several, logits)
    assert answer["labels"] == ["a", "c"]
    assert answer["scores"]["b"] == pytest.approx(0.8808, abs=1e-4)


def test_predictions_of_a_regression_are_its_number(backbone: Backbone) -> None:
    number = make_spec(backbone.fingerprint, problem_type="regression", labels=("score",))
    logits = np.array([3.5], dtype=np.float32)
    assert answer_of(number, logits) == {"score": 3.5}
