"""Class weights: labels count alike, however rare they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from prefixes.backbone import Backbone
from tests.training.learnable_tasks import NOUNS, make_config, start, train_all, write_jsonl
from training.learning.evaluate import evaluate
from training.learning.run import Run
from training.sessions.session import run_plan
from training.settings.plan import check_plan
from training.tasks import definition_of

TASK_TYPE = definition_of("sequence_classification")


def test_weights_of_single_labels_are_those_of_scikit_learn() -> None:
    # 6 rows, 2 of 3 labels occur: 6 / (2 * 4), and 6 / (2 * 2).
    weights = TASK_TYPE.class_weights(("a", "b", "c"), [0, 0, 1, 0, 1, 0])
    assert weights == pytest.approx((0.75, 1.5, 1.0))


def test_weights_of_several_labels_are_the_rows_without_for_each_row_with() -> None:
    truths = [(1.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0)]
    # A label that never or always occurs has nothing to be balanced with.
    assert TASK_TYPE.class_weights(("a", "b", "c"), truths) == pytest.approx((3.0, 1.0, 1.0))


def test_a_number_has_no_weight() -> None:
    assert TASK_TYPE.class_weights(("score",), [(1.0,), (2.0,)]) is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task_type": "token_classification"}, "Nearly every word has the tag O"),
        ({"task_type": "multiple_choice"}, "multiple_choice has no labels"),
        ({"task_type": "embedding"}, "embedding has no labels"),
        ({"problem_type": "regression"}, "regression has no labels"),
    ],
)
def test_tasks_without_labels_of_texts_refuse_them(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        make_config(tmp_path / "rows.jsonl", class_weights="balanced", **changes)


def test_balanced_labels_are_chosen_by_a_metric_in_which_they_count_alike(tmp_path: Path) -> None:
    balanced = make_config(tmp_path / "x.csv", class_weights="balanced")
    assert balanced.metric == "macro_f1"
    assert make_config(tmp_path / "x.csv").metric == "accuracy"
    named = make_config(tmp_path / "x.csv", class_weights="balanced", select_by="accuracy")
    assert named.metric == "accuracy"


def skewed_rows() -> list[dict[str, Any]]:
    """Sixty rows of one label to four of another; a noun of each tells nothing."""
    words = ["great"] * 60 + ["bad"] * 4
    return [
        {
            "text": f"the {NOUNS[n % 7]} {NOUNS[n // 7 % 7]} is {word}",
            "label": "often" if word == "great" else "rare",
        }
        for n, word in enumerate(words)
    ]


def recall_of_the_rare(backbone: Backbone, path: Path, class_weights: str) -> float:
    # So few steps that the rows of the usual label decide, where each counts like any other.
    config = make_config(
        path,
        validation=path,
        class_weights=class_weights,
        batch_size=64,
        epochs=32,
        seed=3,
        schedule="constant",
    )
    run = start(backbone, config)
    train_all(backbone, [run])
    prefix = run.learner.fold()
    measurement = evaluate(backbone, prefix, run.rows.held_out.examples, tokens_per_batch=4096)
    (rare,) = [one for one in measurement.per_label if one.label == "rare"]
    return rare.recall


def test_a_rare_label_is_learned_sooner_with_weights(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", skewed_rows())
    assert recall_of_the_rare(backbone, path, "none") == 0.0
    assert recall_of_the_rare(backbone, path, "balanced") == 1.0


def test_weights_stand_in_the_report(backbone_folder: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", skewed_rows())
    run = {
        "task": "acme/x",
        "train": path,
        "validation": path,
        "max_length": 32,
        "max_steps": 1,
        "class_weights": "balanced",
    }
    plan = check_plan(
        {"runs": [run], "backbone": str(backbone_folder), "device": "cpu"}, origin="test"
    )
    seen: list[Run] = []
    run_plan(plan, tmp_path / "output", watch=seen.extend)
    report = json.loads((tmp_path / "output" / "report.json").read_text(encoding="utf-8"))
    assert report["class_weights"] == pytest.approx({"often": 64 / 120, "rare": 8.0})
    assert report["data"]["summary"] == list(seen[0].rows.data.summary) != []
    assert report["warnings"] == list(seen[0].warnings)
    assert any("64 rows are also in rows.jsonl" in warning for warning in report["warnings"])
