"""Comparison of another precision with float32: both metrics, and the share of other answers."""

from pathlib import Path
from typing import Any

import pytest

from prefixes import InputTemplate
from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_prefix
from tests.training.learnable_tasks import ROWS_OF, sentiment_rows, write_jsonl
from training.data.parts import load_examples
from training.examples import Columns
from training.learning.evaluate import evaluate
from training.results.comparison import Comparison, compare


@pytest.fixture(scope="module")
def int8(backbone_folder: Path) -> Backbone:
    return load_backbone(backbone_folder, device="cpu", quantize="int8")


def compared(
    backbone: Backbone,
    exact: Backbone,
    folder: Path,
    rows: list[dict[str, Any]],
    **changes: Any,
) -> Comparison:
    prefix = make_prefix(exact.fingerprint, **changes)
    examples = load_examples(write_jsonl(folder / "rows.jsonl", rows), prefix.spec, Columns())
    comparison = compare(backbone, exact, prefix, examples, tokens_per_batch=200)
    for one, measured in ((backbone, comparison.measurement), (exact, comparison.exact)):
        assert measured == evaluate(one, prefix, examples, tokens_per_batch=200)
    return comparison


def labeled_rows(count: int) -> list[dict[str, Any]]:
    return [{**row, "label": ("bad", "good")[n % 2]} for n, row in enumerate(sentiment_rows(count))]


def test_both_figures_their_difference_and_changed_answers_are_told(
    backbone: Backbone, int8: Backbone, tmp_path: Path
) -> None:
    found = compared(int8, backbone, tmp_path, labeled_rows(40))

    accuracies = [one.metrics["accuracy"] for one in (found.measurement, found.exact)]
    assert found.differences["accuracy"] == accuracies[0] - accuracies[1]
    assert found.changed is not None
    assert found.changed >= abs(found.differences["accuracy"])


def test_a_backbone_beside_itself_changes_nothing(backbone: Backbone, tmp_path: Path) -> None:
    found = compared(backbone, backbone, tmp_path, labeled_rows(12))

    assert set(found.differences.values()) == {0.0}
    assert found.changed == 0.0


def test_answers_of_another_backbone_are_counted_as_changed(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    turned = load_backbone(backbone_folder, device="cpu")
    for parameter in turned.model.encoder.layer[-1].output.LayerNorm.parameters():
        parameter.neg_()

    found = compared(turned, backbone, tmp_path, labeled_rows(40))

    assert found.changed is not None
    assert found.changed > 0


@pytest.mark.parametrize(
    ("task_type", "changes", "decides"),
    [
        ("multiple_choice", {"input": InputTemplate(text="{text}", text_pair="{choice}")}, True),
        (
            "token_classification",
            {"labels": ("O", "B-praise", "I-praise", "B-topic", "I-topic")},
            True,
        ),
        ("question_answering", {}, True),
        ("embedding", {}, False),
    ],
)
def test_tasks_whose_answers_are_numbers_alone_have_no_changed_answers(
    backbone: Backbone,
    int8: Backbone,
    tmp_path: Path,
    task_type: str,
    changes: dict[str, Any],
    *,
    decides: bool,
) -> None:
    found = compared(
        int8, backbone, tmp_path, ROWS_OF[task_type](12), task_type=task_type, **changes
    )

    assert (found.changed is not None) == decides
