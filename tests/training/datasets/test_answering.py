"""SQuAD: official files and rows of the hub become questions with answers, or without."""

from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from tests.training.datasets.samples import write_squad
from tests.training.learnable_tasks import make_config
from training.data.parts import load_task
from training.datasets import DATASETS
from training.errors import DataRejected
from training.learning.learner import describe
from training.tasks.answer_scores import score_answers


def test_questions_are_read_from_official_files(tmp_path: Path) -> None:
    dataset = DATASETS["qa/squad"]
    files = dataset.local_files(write_squad(tmp_path, "squad"))
    rows = dataset.read(Path(files["train"])).rows
    assert len(rows) == 8
    assert dict(rows[1].columns) == {
        "id": "1a",
        "question": "what is good",  # without the white space before it
        "context": "the plot is good and my card is lost",
        "answers": {"text": ["plot"], "answer_start": [4]},
    }


def test_only_the_second_squad_may_leave_questions_unanswered(
    backbone: Backbone, tmp_path: Path
) -> None:
    thresholds = []
    for name in ("squad", "squad_v2"):
        files = DATASETS[f"qa/{name}"].local_files(write_squad(tmp_path / name, name))
        config = make_config(Path(files["train"]), dataset=f"qa/{name}", **{**files, "stride": 4})
        data = load_task(config)
        assert any(not truth for truth in data.train.truths) == (name == "squad_v2")
        answers = describe(config, data, backbone).answers
        assert answers is not None
        thresholds.append(answers.null_threshold)
    assert thresholds == [None, 0.0]


def test_the_threshold_of_no_answer_can_be_chosen(backbone: Backbone, tmp_path: Path) -> None:
    files = DATASETS["qa/squad_v2"].local_files(write_squad(tmp_path, "squad_v2"))
    config = make_config(Path(files["train"]), dataset="qa/squad_v2", null_threshold=-1.5)
    answers = describe(config, load_task(config), backbone).answers
    assert answers is not None
    assert answers.null_threshold == -1.5


def test_questions_with_and_without_an_answer_have_figures_of_their_own() -> None:
    true = [["the film"], ["a city", "city hall"], [], []]
    result = score_answers(["film", "city", "", "book"], true)
    assert result.metrics == {
        "f1": pytest.approx(3 / 4),
        "exact_match": 3 / 4,
        "has_answer_f1": 1.0,
        "has_answer_exact_match": 1.0,
        "no_answer_f1": 0.5,
        "no_answer_exact_match": 0.5,
    }
    assert score_answers(["film"], [["film"]]).metrics.keys() == {"f1", "exact_match"}


def test_json_of_another_kind_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train-v1.1.json"
    path.write_text('{"data": [{"paragraphs": [{}]}]}', encoding="utf-8")
    with pytest.raises(DataRejected, match="expected SQuAD's data, paragraphs and qas"):
        load_task(make_config(path, dataset="qa/squad", validation=path))
