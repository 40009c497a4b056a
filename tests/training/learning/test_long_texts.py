"""Long validation rows: measured in windows as they are served, and truncated in training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prefixes import Prefix
from prefixes.backbone import Backbone
from prefixes.lengths import LengthOptions
from prefixes.spec import Decisions, LongTexts
from tests.factories import make_prefix
from tests.taggers import FILLER, NAME, STATEMENT, fitted_tagger
from tests.training.learnable_tasks import (
    make_config,
    partner_rows,
    sentiment_rows,
    start,
    tagged_rows,
    train_all,
    write_jsonl,
)
from training.data.parts import load_examples
from training.examples import Columns, Input
from training.learning.evaluate import evaluate, predictions
from training.results.comparison import compare
from training.results.finish import finish

RULE = Decisions(long_texts=LongTexts(stride=4))
TRUNCATE = LengthOptions(long_text="truncate")


@pytest.fixture(scope="module")
def tagger(backbone: Backbone) -> Prefix:
    return fitted_tagger(backbone, max_length=32, decisions=RULE)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Documents whose only name is in their last sentence."""
    rows = []
    for num_sentences in (3, 9, 60):
        text = " ".join([*[FILLER] * num_sentences, STATEMENT])
        start_of_name = text.index(" ".join(NAME))
        end = start_of_name + len(" ".join(NAME))
        rows.append(
            {"text": text, "entities": [{"start": start_of_name, "end": end, "label": "place"}]}
        )
    return write_jsonl(tmp_path / "documents.jsonl", rows)


def test_entities_beyond_the_first_window_are_found_and_measured(
    backbone: Backbone, tagger: Prefix, documents: Path
) -> None:
    examples = load_examples(documents, tagger.spec, Columns())

    windows = evaluate(backbone, tagger, examples, tokens_per_batch=4096)
    truncated = evaluate(backbone, tagger, examples, tokens_per_batch=4096, lengths=TRUNCATE)

    for name in ("entity_f1", "word_entity_f1", "token_accuracy"):
        assert windows.metrics[name] == 1.0
    assert truncated.metrics["entity_f1"] == 0.0
    (answer, *_) = predictions(backbone, tagger, examples.inputs, tokens_per_batch=4096)
    assert [one["text"] for one in answer["entities"]] == [" ".join(NAME)]


def test_answers_of_two_precisions_are_compared_over_whole_texts(
    backbone: Backbone, tagger: Prefix, documents: Path
) -> None:
    examples = load_examples(documents, tagger.spec, Columns())

    comparison = compare(backbone, backbone, tagger, examples, tokens_per_batch=4096)

    assert comparison.measurement.metrics["entity_f1"] == 1.0
    assert comparison.changed == 0.0


def long(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    return [{**row, column: f"{row[column]} . " * 5} for row in rows]


def tripled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] * 3 for name in ("tokens", "tags")} for row in rows]


@pytest.mark.parametrize(
    ("task_type", "rows"),
    [
        pytest.param("sequence_classification", long(sentiment_rows(40), "text"), id="labels"),
        pytest.param("token_classification", tripled(tagged_rows(40)), id="entities"),
        pytest.param("embedding", long(partner_rows(40), "positive"), id="vectors"),
    ],
)
def test_evaluations_of_a_training_are_those_of_its_file(
    backbone: Backbone, tmp_path: Path, task_type: str, rows: list[dict[str, Any]]
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = make_config(
        path,
        validation=path,
        task_type=task_type,
        max_length=12,
        long_texts="windows",
        stride=2,
        epochs=1,
    )
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best is not None
    assert run.best_prefix is not None

    measured = evaluate(backbone, run.best_prefix, run.rows.data.validation, tokens_per_batch=512)
    finished = finish(backbone, config, run.rows.data, run.best_prefix, tokens_per_batch=512)

    assert run.spec.decisions == Decisions(long_texts=LongTexts(stride=2))
    assert finished.prefix.spec.decisions is not None
    assert finished.prefix.spec.decisions.long_texts == LongTexts(stride=2)
    num_texts = 2 if task_type == "embedding" else 1
    assert {len(texts) for texts in run.rows.encoded} == {num_texts}
    assert any(len(texts) > num_texts for texts in run.rows.held_out.windows)
    for name, value in run.best.metrics.items():
        if name != "expected_calibration_error":
            assert measured.metrics[name] == pytest.approx(value)
            assert finished.validation.metrics[name] == pytest.approx(value)


def test_text_and_partner_have_windows_of_their_own(backbone: Backbone, tmp_path: Path) -> None:
    prefix = make_prefix(backbone.fingerprint, task_type="embedding", max_length=10, decisions=RULE)
    rows = long(partner_rows(12), "positive")
    examples = load_examples(write_jsonl(tmp_path / "rows.jsonl", rows), prefix.spec, Columns())
    partners = [{"text": truth} for truth in examples.truths]

    def vectors(texts: Sequence[Input]) -> NDArray[Any]:
        answers = predictions(backbone, prefix, texts, tokens_per_batch=99)
        return np.array([one["embedding"] for one in answers])

    measured = evaluate(backbone, prefix, examples, tokens_per_batch=99)

    ranks = []
    for number, scores in enumerate(vectors(examples.inputs) @ vectors(partners).T):
        distinct = dict(zip(examples.truths, scores, strict=True))
        ranks.append(1 + sum(x > scores[number] + 1e-9 for x in distinct.values()))
    assert measured.metrics["mrr"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
