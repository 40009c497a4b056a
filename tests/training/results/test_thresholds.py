from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix
from prefixes.answers import sigmoid
from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.training.learnable_tasks import (
    make_config,
    sentiment_rows,
    start,
    train_all,
    write_jsonl,
)
from training.data.parts import load_task
from training.examples import Examples
from training.learning.evaluate import evaluate
from training.results.finish import FinishedPrefix, finish
from training.results.thresholds import (
    FittedThreshold,
    FittedThresholds,
    fit_thresholds,
    threshold_of,
)
from training.settings.threshold_target import ThresholdTarget

SCORES = np.array([0.9, 0.2, 0.8, 0.6, 0.4])
TRUTHS = np.array([True, False, False, True, True])  # by score: yes, no, yes, yes, no


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("f1", 0.3),  # 0.6, 0.4 and 0.9 are found, and 0.8 is wrong: F1 is 6/7
        ("precision>=0.7", 0.3),  # the lowest cut with a precision of 3/4
        ("precision>=0.9", 0.85),
        ("recall>=0.3", 0.85),
        ("recall>=0.6", 0.5),
        ("recall>=100%", 0.3),
    ],
)
def test_the_threshold_of_a_label_is_that_found_by_hand(target: str, expected: float) -> None:
    assert threshold_of(SCORES, TRUTHS, ThresholdTarget.parse(target)) == pytest.approx(expected)


def test_rows_with_equal_scores_are_never_separated() -> None:
    scores, truths = np.array([0.5, 0.5, 0.5, 0.1]), np.array([True, False, True, True])
    found = {
        target: threshold_of(scores, truths, ThresholdTarget.parse(target))
        for target in ("f1", "precision>=0.9", "recall>=0.1")
    }
    # Of the two possible cuts, the first has a precision of 2/3 and the second of 3/4.
    assert found == pytest.approx({"f1": 0.05, "precision>=0.9": 0.05, "recall>=0.1": 0.3})


def test_the_only_row_and_certain_rows_have_thresholds_in_range() -> None:
    one = threshold_of(np.array([1.0]), np.array([True]), ThresholdTarget("f1"))
    assert one == 0.5
    certain = threshold_of(np.ones(3), np.array([True, True, False]), ThresholdTarget("f1"))
    assert 0 <= certain <= 1


@pytest.mark.parametrize("count", [1, 300], ids=["one-label", "hundreds"])
def test_one_label_and_hundreds_have_thresholds(backbone: Backbone, count: int) -> None:
    prefix = make_prefix(
        backbone.fingerprint,
        labels=[f"label {number}" for number in range(count)],
        problem_type="multi_label_classification",
    )
    rng = np.random.default_rng(0)
    flags = rng.random((200, count)) < 0.3
    logits = (np.where(flags, 1.0, -1.0) + rng.normal(size=flags.shape)).astype(np.float32)
    rows = Examples(({"text": "a"},) * 200, tuple(map(tuple, flags.astype(float))))

    ruled, fitted = fit_thresholds(
        prefix, rows, [[row] for row in logits], ThresholdTarget("recall", 0.9)
    )

    assert len(fitted.labels) == count
    for place, one in enumerate(fitted.labels):
        found = sigmoid(logits[:, place]) >= one.threshold
        assert one.recall == pytest.approx(found[flags[:, place]].mean())
        assert one.recall >= 0.9
    assert ruled.spec.thresholds == tuple(one.threshold for one in fitted.labels)


@pytest.mark.parametrize(
    "text", ["", "F1", "precision", "precision>0.9", "precision>=0", "recall>=1.1", "f1>=0.5", "x"]
)
def test_other_targets_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected f1, precision>=X or recall>=X"):
        ThresholdTarget.parse(text)


def test_targets_are_read_with_spaces_and_in_percent() -> None:
    assert ThresholdTarget.parse(" precision >= 95% ") == ThresholdTarget("precision", 0.95)
    assert str(ThresholdTarget.parse("recall>=.9")) == "recall>=0.9"


def test_warnings_name_the_labels_that_are_doubtful() -> None:
    labels = (
        FittedThreshold("sure", 0.4, 0.97, 0.8, 50, is_reached=True),
        FittedThreshold("rare", 0.4, 1.0, 0.8, 3, is_reached=True),
        FittedThreshold("weak", 0.9, 0.7, 0.1, 40, is_reached=False),
        FittedThreshold("absent", 0.0, 0.0, 0.0, 0, is_reached=False),
    )
    absent, few, missed = FittedThresholds("precision>=0.95", labels, 0.9).warnings
    assert "label absent:" in absent
    assert "rare (3)" in few
    assert "weak (precision 0.700" in missed
    assert "sure" not in absent + few + missed
    assert FittedThresholds("f1", labels[:1], 0.9).warnings == []


def trained(backbone: Backbone, tmp_path: Path, **changes: Any) -> FinishedPrefix:
    train = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(64))
    held_out = write_jsonl(tmp_path / "held-out.jsonl", sentiment_rows(40, seed=2))
    config = make_config(train, validation=held_out, epochs=4, **changes)
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best_prefix is not None
    return finish(backbone, config, load_task(config), run.best_prefix, tokens_per_batch=500)


def test_a_trained_file_has_thresholds_that_reach_their_target_when_it_is_evaluated(
    backbone: Backbone, tmp_path: Path
) -> None:
    finished = trained(backbone, tmp_path, threshold="precision>=0.9")
    spec = Prefix.from_bytes(finished.data, fits=[backbone.fingerprint]).spec
    fitted = finished.thresholds
    assert fitted is not None
    assert spec.decisions is not None
    assert spec.decisions.thresholds == tuple(one.threshold for one in fitted.labels)
    assert sum(one.rows for one in fitted.labels) == 40
    assert spec.metrics["validation_answered"] == fitted.answered
    config = make_config(tmp_path / "rows.jsonl", validation=tmp_path / "held-out.jsonl")
    rows = load_task(config).validation
    measured = evaluate(backbone, finished.prefix, rows, tokens_per_batch=100)
    assert measured.metrics["answered"] == fitted.answered
    for one in fitted.labels:
        assert one.is_reached == (one.precision >= 0.9)


def test_a_file_without_a_target_has_no_thresholds(backbone: Backbone, tmp_path: Path) -> None:
    finished = trained(backbone, tmp_path, max_steps=2)
    assert finished.thresholds is None
    decisions = finished.prefix.spec.decisions
    assert decisions is not None
    assert not decisions.has_rules
    assert "answered" not in finished.validation.metrics


def test_several_labels_get_thresholds_where_every_version_reads_them(
    backbone: Backbone, tmp_path: Path
) -> None:
    kind = "multi_label_classification"
    finished = trained(backbone, tmp_path, problem_type=kind, threshold="f1", max_steps=10)
    spec = finished.prefix.spec
    assert spec.decisions is not None
    assert spec.decisions.thresholds is None
    assert finished.thresholds is not None
    assert spec.thresholds == tuple(one.threshold for one in finished.thresholds.labels)
    for one, measured in zip(
        finished.thresholds.labels, finished.validation.per_label, strict=True
    ):
        assert one.precision == pytest.approx(measured.precision)
        assert one.recall == pytest.approx(measured.recall)
