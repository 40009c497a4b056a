"""Rejection rules are fitted on rows, keep the share that was asked for, and reject other texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import InputTemplate, Prefix
from prefixes.answers import rejection_verdict, split_outputs
from prefixes.backbone import Backbone
from prefixes.spec import Decisions, LongTexts
from tests.factories import make_prefix
from tests.training.learnable_tasks import make_config, sentiment_rows, write_jsonl
from tests.training.results.test_calibration import TEXTS, examples_of
from training.data.parts import load_task
from training.examples import TaskData
from training.learning.evaluate import evaluate, features_of, outputs_of, predictions
from training.results.finish import finish
from training.results.golden import replay
from training.results.rejection import cutoff_of, discriminants, fit_rejection
from training.tasks import definition_of

KEPT = 0.9


def data_of(num_rows: int, num_labels: int = 2) -> TaskData:
    rows = examples_of([row % num_labels for row in range(num_rows)])
    return TaskData(("bad", "good"), InputTemplate(), rows, rows, rows, "")


def fitted(backbone: Backbone, **changes: Any) -> Prefix:
    prefix = make_prefix(backbone.fingerprint, **changes)
    found, _ = fit_rejection(backbone, prefix, data_of(60), KEPT, tokens_per_batch=512)
    return found


def test_the_rule_keeps_the_share_and_is_read_back_from_the_file(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint)
    data = data_of(60)
    found, report = fit_rejection(backbone, prefix, data, 0.8, tokens_per_batch=512)
    again = Prefix.from_bytes(found.to_bytes(), fits=[backbone.fingerprint])
    rule = again.spec.rejection
    assert rule is not None
    assert rule == report.rule
    assert rule.kept == 0.8
    answers = predictions(backbone, again, data.validation.inputs, tokens_per_batch=512)
    kept = [answer["label"] is not None for answer in answers]
    assert report.summary.endswith("of 60 validation rows and 83.3% of the test rows")
    # Equal texts have equal scores, so those at the cutoff are all kept.
    assert np.mean(kept) == report.kept == report.test_kept
    assert 0.8 <= np.mean(kept) < 1


@pytest.mark.parametrize("activation", [None, "tanh"])
def test_served_scores_are_those_that_the_cutoff_was_fitted_on(
    backbone: Backbone, activation: str | None
) -> None:
    head = {"pooling": "mean", "activation": activation}
    prefix = fitted(backbone, head=head)
    rule = prefix.spec.rejection
    assert rule is not None
    assert rule.projection is not None
    encoded = definition_of("sequence_classification").encode(
        backbone.texts, prefix.spec, examples_of([0] * len(TEXTS))
    )
    features = features_of(backbone, prefix, encoded, tokens_per_batch=512)
    for (full,), row in zip(
        outputs_of(backbone, prefix, encoded, tokens_per_batch=512, with_projected=True),
        features,
        strict=True,
    ):
        logits, projected = split_outputs(full, rule.num_dimensions)
        expected = rejection_verdict(rule, logits, row @ rule.projection.matrix)
        verdict = rejection_verdict(rule, logits, projected)
        assert verdict is not None
        assert expected is not None
        assert verdict.score == pytest.approx(expected.score, rel=1e-5, abs=1e-3)


def test_a_rule_for_long_texts_keeps_the_share_of_whole_texts(backbone: Backbone) -> None:
    rows = examples_of([row % 2 for row in range(60)])
    pairs = zip(rows.inputs, reversed(rows.inputs), strict=True)
    texts = (f"{one['text']} {'the train was late . ' * 4}{other['text']}" for one, other in pairs)
    long = type(rows)(tuple({"text": text} for text in texts), rows.truths)
    data = TaskData(("bad", "good"), InputTemplate(), rows, long, long, "")
    windows = Decisions(long_texts=LongTexts(stride=2))
    prefix = make_prefix(backbone.fingerprint, max_length=12, decisions=windows)
    found, report = fit_rejection(backbone, prefix, data, 0.8, tokens_per_batch=512)
    answers = predictions(backbone, found, data.validation.inputs, tokens_per_batch=512)
    kept = [answer["label"] is not None for answer in answers]
    assert report.rule is not None
    assert report.rule.num_dimensions > 0
    assert np.mean(kept) == report.kept == report.test_kept
    assert 0.8 <= np.mean(kept) < 1


def test_metrics_of_scores_stay_as_without_a_rule(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint)
    with_rule = fitted(backbone)
    examples = data_of(30).validation
    one, other = (
        evaluate(backbone, each, examples, tokens_per_batch=512) for each in (prefix, with_rule)
    )
    assert other.metrics["accuracy"] == one.metrics["accuracy"]
    assert other.confusion == one.confusion


def test_too_few_validation_rows_give_a_warning_and_no_rule(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint)
    found, report = fit_rejection(backbone, prefix, data_of(19), 0.95, tokens_per_batch=512)
    assert found is prefix
    assert report.rule is None
    assert report.document is None
    (warning,) = report.warnings
    assert report.summary == warning
    assert "needs 20 or more validation rows, found 19" in warning


def test_a_label_without_rows_has_a_finite_center(backbone: Backbone) -> None:
    prefix = make_prefix(backbone.fingerprint, labels=("bad", "good", "never"))
    found, _ = fit_rejection(backbone, prefix, data_of(40), KEPT, tokens_per_batch=512)
    rule = found.spec.rejection
    assert rule is not None
    assert rule.centers is not None
    np.testing.assert_array_equal(rule.centers.matrix[2], rule.centers.matrix[0])


def test_with_very_many_labels_the_rule_has_no_vectors(backbone: Backbone) -> None:
    labels = tuple(map(str, range(9000)))
    prefix = make_prefix(backbone.fingerprint, labels=labels)
    found, report = fit_rejection(backbone, prefix, data_of(40), KEPT, tokens_per_batch=512)
    assert report.rule is not None
    assert report.rule.num_dimensions == 0
    assert report.kept is not None
    assert report.kept >= KEPT
    assert len(found.to_bytes()) - len(prefix.to_bytes()) < 1000


def test_rows_of_one_text_give_a_rule_that_keeps_them(backbone: Backbone) -> None:
    rows = examples_of([0, 1] * 20)
    same = type(rows)(tuple({"text": "my card"} for _ in rows.truths), rows.truths)
    data = TaskData(("bad", "good"), InputTemplate(), same, same, None, "")
    prefix = make_prefix(backbone.fingerprint)
    _, report = fit_rejection(backbone, prefix, data, KEPT, tokens_per_batch=512)
    assert report.kept == 1.0
    assert report.test_kept is None


def test_the_cutoff_is_the_highest_that_keeps_the_share() -> None:
    scores = np.arange(20.0)[::-1]
    assert cutoff_of(scores, 0.95) == 1.0
    assert cutoff_of(scores, 0.9) == 2.0
    assert cutoff_of(scores, 0.999) == 0.0
    assert cutoff_of(np.array([3.0]), 0.5) == 3.0


def test_directions_have_unit_covariance_and_begin_with_what_distinguishes_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % 3
    rows = rng.normal(size=(3000, 6)) * [3, 1, 1, 1, 0.5, 2]
    rows[:, 1] += np.array([-4, 0, 4])[labels]
    rows[:, 2] += np.array([0, 2, 0])[labels]
    found = rows @ discriminants(rows, labels, 4)
    within = found - np.stack([found[labels == label].mean(axis=0) for label in range(3)])[labels]
    np.testing.assert_allclose(np.cov(within.T), np.eye(4), atol=0.1)
    means = np.stack([found[labels == label].mean(axis=0) for label in range(3)])
    spread = means.std(axis=0)
    assert spread[0] > spread[1] > 10 * spread[2:].max()


def test_finishing_adds_the_rule_and_its_golden_examples_stay_logits(
    backbone: Backbone, tmp_path: Path
) -> None:
    train = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(64))
    held_out = write_jsonl(tmp_path / "held-out.jsonl", sentiment_rows(40, seed=2))
    config = make_config(train, validation=held_out, reject=0.9)
    data = load_task(config)
    best = make_prefix(backbone.fingerprint)
    best = Prefix(best.spec.model_copy(update={"labels": data.labels}), best.tensors)
    finished = finish(backbone, config, data, best, tokens_per_batch=500)
    assert finished.warnings == ()
    prefix = Prefix.from_bytes(finished.data, fits=[backbone.fingerprint])
    assert prefix.spec.rejection is not None
    assert {len(example.logits) for example in prefix.spec.golden} == {2}
    replay(backbone, prefix)
