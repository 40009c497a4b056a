"""Settings of teachers: those that contradict each other are rejected with what to do."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.settings.config import TrainConfig
from training.settings.plan import load_plan


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlabeled": "x.csv"}, "unlabeled rows need a teacher that answers them: set teacher"),
        ({"teacher_weight": 0.9}, "teacher_weight applies only with a teacher"),
        ({"teacher_temperature": 9}, "teacher_temperature applies only with a teacher"),
        ({"teacher": "full", "unlabeled_batch_size": 4}, "applies only with unlabeled rows"),
        (
            {"teacher": "full", "problem_type": "multi_label_classification"},
            "a teacher is not yet possible for this task: .* not multi_label_classification",
        ),
        (
            {"teacher": "full", "problem_type": "regression"},
            "a teacher is not yet possible for this task: .* not regression",
        ),
        (
            {"teacher": "full", "task_type": "token_classification"},
            "a teacher is not yet possible for this task: .* not token_classification",
        ),
        (
            {"teacher": "full", "task_type": "question_answering"},
            "a teacher is not yet possible for this task: .* not question_answering",
        ),
        (
            {"teacher": "full", "task_type": "multiple_choice"},
            "a teacher is not yet possible for this task: .* not multiple_choice",
        ),
        ({"teacher": "full", "method": "full"}, "teacher does not apply to method 'full'"),
        ({"teacher": "full", "method": "few_shot"}, "teacher does not apply to method 'few_shot'"),
        ({"teacher": "full", "teacher_weight": 0}, "teacher_weight"),
    ],
)
def test_a_contradiction_is_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig(task="acme/task", train="rows.csv", **settings)


@pytest.mark.parametrize("method", ["vectors", "prefix", "prompt", "head"])
def test_every_method_that_writes_a_prefix_file_may_have_a_teacher(method: Any) -> None:
    config = TrainConfig(task="acme/task", train="rows.csv", method=method, teacher="full")
    assert not config.leaves_method_open
    assert config.unlabeled_per_step == 0


def test_files_of_a_plan_are_relative_to_it_but_not_the_name_full(tmp_path: Path) -> None:
    text = '[defaults]\ntrain = "a.csv"\nunlabeled = "more.csv"\n'
    tasks = '[[task]]\ntask = "a/b"\nteacher = "full"\n[[task]]\ntask = "a/c"\nteacher = "mine"\n'
    (tmp_path / "plan.toml").write_text(text + tasks, encoding="utf-8")
    first, second = load_plan(tmp_path / "plan.toml", plan={}, run={}).runs
    assert first.unlabeled == tmp_path / "more.csv"
    assert (first.teacher, second.teacher) == ("full", str(tmp_path / "mine"))


def test_tasks_that_share_a_prefix_have_no_teacher(tmp_path: Path) -> None:
    tasks = '[[task]]\ntask = "a/b"\n[[task]]\ntask = "a/c"\n[multitask]\nsteps = 4\n'
    text = f'[defaults]\ntrain = "a.csv"\nteacher = "full"\n{tasks}'
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match=r"\[multitask\] does not support a teacher"):
        load_plan(tmp_path / "plan.toml", plan={}, run={})
