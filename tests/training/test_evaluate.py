"""Evaluation: every text gets its own logits, however the batches are cut."""

from pathlib import Path

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.factories import encode_each, make_prefix, make_spec
from tests.training.tasks import sentiment_rows, write_jsonl
from training.data import Columns, load_labelled
from training.evaluate import batches, evaluate, logits_of
from training.predictions import predictions


def test_logits_come_in_the_order_of_the_texts_however_batches_are_cut(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint)
    inputs = [{"text": "good " * (1 + n * 7 % 5)} for n in range(9)]
    texts = encode_each(backbone, prefix.spec, inputs)
    together = logits_of(backbone, prefix, texts, tokens_per_batch=1000)
    alone = logits_of(backbone, prefix, texts, tokens_per_batch=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len({tuple(row) for row in np.round(alone, 4).tolist()}) == 5


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = [3, 9, 4, 4, 30, 1]
    cut = batches([5, 0, 2, 3, 1, 4], lengths, 12)
    assert cut == [[5, 0, 2, 3], [1], [4]]
    assert batches([], lengths, 12) == []


def test_a_prefix_is_measured_on_the_labels_it_knows(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(30))
    prefix = make_prefix(backbone.fingerprint)
    data = load_labelled(
        path,
        Columns({"text": "text"}),
        problem_type=prefix.spec.problem_type,
        labels=prefix.spec.labels,
    )
    result = evaluate(backbone, prefix, data, tokens_per_batch=100)
    assert [score.label for score in result.per_label] == ["bad", "good"]
    texts = encode_each(backbone, prefix.spec, data.inputs)
    chosen = logits_of(backbone, prefix, texts, tokens_per_batch=100).argmax(axis=1)
    assert result.metrics["accuracy"] == pytest.approx((chosen == data.targets).mean())


def test_predictions_say_what_the_logits_mean(backbone: Backbone) -> None:
    single = make_spec(backbone.fingerprint, labels=("a", "b", "c"))
    logits = np.array([[1000.0, 999.0, -1000.0]], dtype=np.float32)
    (answer,) = predictions(single, [{"text": "x"}], logits)
    assert answer["text"] == "x"
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
    logits = np.array([[0.1, 2.0, -2.0]], dtype=np.float32)
    (answer,) = predictions(several, [{"text": "x"}], logits)
    assert answer["labels"] == ["a", "c"]
    assert answer["scores"]["b"] == pytest.approx(0.8808, abs=1e-4)


def test_predictions_of_a_regression_are_its_number(backbone: Backbone) -> None:
    number = make_spec(backbone.fingerprint, problem_type="regression", labels=("score",))
    logits = np.array([[3.5]], dtype=np.float32)
    assert list(predictions(number, [{"text": "x"}], logits)) == [{"text": "x", "score": 3.5}]
