"""GLUE: every task from its own TSV, from the columns of the hub, and from plain rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.datasets.samples import GLUE, write_glue
from tests.training.learnable_tasks import write_jsonl
from training.data.parts import load_task
from training.datasets import DATASETS
from training.errors import DataRejected, PlanRejected
from training.settings.config import TrainConfig
from training.tasks.metrics import measure


@pytest.mark.parametrize(
    ("task", "texts", "label"),
    [
        ("cola", ("the film is good", None), "acceptable"),
        ("mnli", ("the film is good", "it is good"), "entailment"),
        ("mrpc", ("the film is good", '"the film" is great'), "equivalent"),
        ("qnli", ("what is good", "the film is good"), "entailment"),
        ("qqp", ("how is it", "how is the film"), "duplicate"),
        ("rte", ("the film is good", "it is good"), "entailment"),
        ("sst2", ("the film is good ", None), "positive"),
        ("stsb", ("the film is good", "the film is great"), 4.2),
        ("wnli", ("the card is in my book and it is lost", "the card is lost"), "entailment"),
    ],
)
def test_every_task_is_read_from_its_official_files(
    task: str, texts: tuple[str, str | None], label: str | float, tmp_path: Path
) -> None:
    dataset = DATASETS[f"glue/{task}"]
    files = dataset.local_files(write_glue(tmp_path, task))
    config = TrainConfig(
        task="a/b", dataset=dataset.name, train=files["train"], validation=files["validation"]
    )
    data = load_task(config)
    lines = len(GLUE[task][1])
    assert (len(data.train), len(data.validation)) == (4 * lines, 2 * lines)
    assert data.template.render(data.train.inputs[0]) == [texts]
    truth = data.train.truths[0]
    assert (truth[0] if isinstance(truth, tuple) else data.labels[truth]) == label


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        ("qqp", [{"question1": "a", "question2": "b", "label": 1, "idx": 0}]),
        ("qqp", [{"text_a": "a", "text_b": "b", "label": "duplicate"}]),
        ("cola", [{"sentence": "a", "label": 1, "idx": 0}]),
        ("cola", [{"text": "a", "label": "acceptable"}]),
    ],
)
def test_rows_of_the_hub_and_plain_rows_say_the_same(
    task: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    dataset = DATASETS[f"glue/{task}"]
    (found,) = dataset.read(write_jsonl(tmp_path / "rows.jsonl", rows)).rows
    assert found.columns["label"] == (dataset.labels or ())[1]
    assert found.columns[dataset.templates[0].text.strip("{}")] == "a"


def test_a_quotation_mark_in_a_tsv_quotes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text('sentence\tlabel\n"a film\t1\nis good"\t0\n', encoding="utf-8")
    rows = DATASETS["glue/sst2"].read(path).rows
    assert [row.columns["sentence"] for row in rows] == ['"a film', 'is good"']
    assert [row.line for row in rows] == [2, 3]


def test_unlabeled_tests_have_their_own_columns(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text("index\tsentence\n0\tthe film\n", encoding="utf-8")
    (row,) = DATASETS["glue/cola"].read(path).rows
    assert "label" not in row.columns
    assert row.columns["sentence"] == "the film"


def test_a_line_with_cells_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\nthe film\n", encoding="utf-8")
    config = TrainConfig(task="a/b", dataset="glue/sst2", train=path, validation=path)
    with pytest.raises(DataRejected, match="expected 2 cells") as caught:
        load_task(config)
    assert caught.value.problems[0].line == 2


@pytest.mark.parametrize(
    ("task", "metric"),
    [("cola", "matthews"), ("stsb", "pearson"), ("mrpc", "accuracy"), ("mnli", "accuracy")],
)
def test_every_task_is_chosen_by_a_metric_that_it_is_measured_by(
    task: str, metric: str, tmp_path: Path
) -> None:
    config = TrainConfig(task="a/b", dataset=f"glue/{task}", train=tmp_path / "train.tsv")
    assert config.metric == metric
    measured = (
        measure("regression", ["score"], np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]]))
        if task == "stsb"
        else measure("single_label_classification", "ab", np.eye(2), np.array([0, 1]))
    )
    assert measured.metrics[metric] == pytest.approx(1.0)
    assert measured.metrics["combined"] == pytest.approx(1.0)


def test_f1_is_that_of_the_second_label_and_combined_the_mean_with_accuracy() -> None:
    # true 0 0 0 1 1 1, predicted 0 0 1 1 1 0
    logits = np.eye(2)[[0, 0, 1, 1, 1, 0]]
    result = measure("single_label_classification", "ab", logits, np.array([0, 0, 0, 1, 1, 1]))
    assert result.metrics["f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert result.metrics["combined"] == pytest.approx((4 / 6 + 2 / 3) / 2)
    three = measure("single_label_classification", "abc", np.eye(3), np.array([0, 1, 1]))
    assert "f1" not in three.metrics
    mean = (three.metrics["accuracy"] + three.metrics["macro_f1"]) / 2
    assert three.metrics["combined"] == pytest.approx(mean)


def test_f1_chooses_among_two_labels_only(tmp_path: Path) -> None:
    files = DATASETS["glue/mnli"].local_files(write_glue(tmp_path, "mnli"))
    config = TrainConfig(
        task="a/b", dataset="glue/mnli", train=files["train"], select_by="f1", max_rows=6
    )
    with pytest.raises(PlanRejected, match="the second of two labels, a/b has 3"):
        load_task(config)
    config = config.model_copy(update={"select_by": "query_f1"})
    with pytest.raises(PlanRejected, match="rows that answer queries"):
        load_task(config)
