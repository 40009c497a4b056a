"""Trainings with a teacher that is fine-tuned first: what they write, and how they are resumed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from prefixes import Prefix
from prefixes.backbone import Backbone
from tests.training.distillation.teachers import plan_of
from tests.training.learnable_tasks import pair_rows, sentiment_rows, write_jsonl
from training.data.lessons import Lessons, TeacherFacts
from training.distillation.fine_tuned_teacher import teacher_config
from training.distillation.teaching import TeacherWatch
from training.errors import PlanRejected, TrainingStopped
from training.learning.base_run import BaseRun
from training.learning.run import Run
from training.sessions.files import CHECKPOINT, LESSONS_FOLDER, PREFIX_FILE
from training.sessions.fine_tuning_session import tune_plan
from training.sessions.session import discard_checkpoint, run_plan
from training.settings.plan import TrainPlan


class Killed(Exception):
    pass


class Seen:
    """Watches a training, and raises an error at a step of the prefix or of its teacher."""

    def __init__(self, **at: int) -> None:
        self.at = at
        self.teacher_steps = 0
        self.answers: list[tuple[int, int]] = []

    def watch(self, runs: Sequence[Run]) -> None:
        if runs[0].step == self.at.get("prefix"):
            raise Killed

    def watch_teacher(self, runs: Sequence[BaseRun]) -> None:
        assert runs[0].is_teacher
        self.teacher_steps = runs[0].step
        if self.teacher_steps == self.at.get("teacher"):
            raise TrainingStopped("stopped")

    def watch_answers(self, done: int, total: int) -> None:
        self.answers.append((done, total))
        if done >= self.at.get("answers", total + 1):
            raise TrainingStopped("stopped")

    @property
    def of_teacher(self) -> TeacherWatch:
        return TeacherWatch(self.watch_teacher, self.watch_answers)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(60))


@pytest.fixture
def unlabeled(tmp_path: Path) -> Path:
    texts = [{"text": row["text"] + " now"} for row in sentiment_rows(300, seed=1)]
    return write_jsonl(tmp_path / "unlabeled.jsonl", texts)


def test_the_teacher_and_the_unlabeled_rows_are_in_the_report_and_in_the_file(
    backbone_folder: Path, rows: Path, unlabeled: Path, tmp_path: Path
) -> None:
    seen, output = Seen(), tmp_path / "out"
    plan = plan_of(backbone_folder, rows, unlabeled=unlabeled, unlabeled_batch_size=16, epochs=6)
    (trained,) = run_plan(plan, output, watch=seen.watch, teacher_watch=seen.of_teacher)
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    teacher = report["teacher"]
    assert (teacher["name"], teacher["architecture"]) == ("full", "BertForSequenceClassification")
    assert teacher["validation"]["accuracy"] > 0.9
    assert report["validation"]["metrics"]["accuracy"] > 0.9
    num_used = teacher["num_unlabeled_rows"]
    assert 200 < num_used <= 300
    assert report["data"]["unlabeled_rows"] == num_used
    assert report["timing"]["num_rows"] == seen.teacher_steps * 16 + 6 * 54
    assert seen.answers[-1] == (60 + num_used, 60 + num_used)
    provenance = Prefix.load(trained.file).spec.provenance
    assert provenance is not None
    assert provenance.recipe["teacher"] == teacher
    assert provenance.train_rows == 54
    assert str(tmp_path) not in json.dumps(provenance.recipe)
    assert (output / LESSONS_FOLDER).is_dir()
    discard_checkpoint(output)
    assert not (output / LESSONS_FOLDER).exists()


def test_a_prefix_learns_from_a_fine_tuned_model_what_its_labels_do_not_say(
    backbone_folder: Path, rows: Path, tmp_path: Path
) -> None:
    """The labels of its own rows are wrong, and those of the teacher's rows are right."""
    tuning = plan_of(backbone_folder, rows).runs[0]
    full = teacher_config(tuning).model_copy(update={"epochs": 16})
    (model,) = tune_plan(
        TrainPlan(runs=(full,), backbone=str(backbone_folder), device="cpu"),
        tmp_path / "teacher",
        watch=lambda _: None,
    )
    assert model.validation.metrics["accuracy"] > 0.95
    opposite = {"good": "bad", "bad": "good"}
    wrong = [{**row, "label": opposite[row["label"]]} for row in sentiment_rows(96, seed=2)]
    own = write_jsonl(tmp_path / "own.jsonl", wrong)
    settings = {
        "validation": rows,
        "teacher_learning_rate": 1.5e-4,
        "epochs": 16,
        "evaluate_every": 1000,  # only at the end, so that no step is chosen
    }
    reached = []
    for name, teacher in {"with": str(model.folder), "without": None}.items():
        weight = {} if teacher is None else {"teacher_weight": 1.0}
        plan = plan_of(backbone_folder, own, teacher=teacher, **settings, **weight)
        (trained,) = run_plan(plan, tmp_path / name, watch=Seen().watch)
        reached.append(trained.finished.validation.metrics["accuracy"])
    assert reached[0] > 0.9
    assert reached[1] < 0.5


def test_a_resumed_training_does_not_train_its_teacher_again(
    backbone_folder: Path, rows: Path, unlabeled: Path, tmp_path: Path
) -> None:
    plan = plan_of(backbone_folder, rows, unlabeled=unlabeled)
    run_plan(plan, tmp_path / "whole", watch=Seen().watch)
    killed, resumed = Seen(prefix=9), Seen()
    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        run_plan(
            plan,
            folder,
            seconds_between_checkpoints=0,
            watch=killed.watch,
            teacher_watch=killed.of_teacher,
        )
    assert killed.teacher_steps > 0
    run_plan(plan, folder, resume=True, watch=resumed.watch, teacher_watch=resumed.of_teacher)
    assert (resumed.teacher_steps, resumed.answers) == (0, [])
    one, other = (load_file(tmp_path / name / PREFIX_FILE) for name in ("whole", "killed"))
    for name, tensor in one.items():
        np.testing.assert_array_equal(other[name], tensor, err_msg=name)


def test_without_resume_the_teacher_is_trained_again(
    backbone_folder: Path, rows: Path, tmp_path: Path
) -> None:
    plan = plan_of(backbone_folder, rows)
    run_plan(plan, tmp_path / "out", watch=Seen().watch)
    (tmp_path / "out" / CHECKPOINT).unlink()
    again = Seen()
    run_plan(plan, tmp_path / "out", watch=again.watch, teacher_watch=again.of_teacher)
    assert again.teacher_steps > 0


@pytest.mark.parametrize("at", [{"teacher": 3}, {"answers": 60}])
def test_a_training_stops_while_its_teacher_works(
    backbone_folder: Path, rows: Path, tmp_path: Path, at: dict[str, int]
) -> None:
    seen = Seen(**at)
    plan = plan_of(backbone_folder, rows)
    with pytest.raises(TrainingStopped):
        run_plan(plan, tmp_path / "out", watch=seen.watch, teacher_watch=seen.of_teacher)
    assert not (tmp_path / "out" / CHECKPOINT).exists()
    run_plan(plan, tmp_path / "out", resume=True, watch=Seen().watch)


def test_pairs_have_a_teacher(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", pair_rows(80))
    others = [{"text_a": row["text_a"], "text_b": "it is not now"} for row in pair_rows(80, seed=1)]
    unlabeled = write_jsonl(tmp_path / "unlabeled.jsonl", others)
    plan = plan_of(backbone_folder, rows, unlabeled=unlabeled, unlabeled_batch_size=8, epochs=8)
    (trained,) = run_plan(plan, tmp_path / "out", watch=Seen().watch)
    assert trained.teacher is not None
    assert trained.finished.validation.metrics["accuracy"] > 0.9


def test_runs_of_a_grid_share_their_teacher(
    backbone_folder: Path, rows: Path, tmp_path: Path
) -> None:
    plan = plan_of(backbone_folder, rows)
    (run,) = plan.runs
    runs = [run.model_copy(update={"variant": str(n), "teacher_weight": n / 10}) for n in (1, 9)]
    other = run.model_copy(update={"variant": "other", "seed": 5})
    plan = plan.model_copy(update={"runs": (*runs, other)})
    run_plan(plan, tmp_path / "out", watch=Seen().watch)
    assert len(list((tmp_path / "out" / LESSONS_FOLDER).iterdir())) == 2


def test_a_sweep_searches_the_weight_but_not_the_teacher(
    backbone_folder: Path, rows: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    plan = plan_of(backbone_folder, rows, epochs=1)

    def swept(space: dict[str, Any]) -> list[Any]:
        sweep = {"trials": 2, "space": space}
        fields = plan.model_dump(mode="json", exclude_unset=True)
        again = type(plan).model_validate({**fields, "sweep": sweep})
        return run_plan(again, tmp_path / "out", watch=Seen().watch)

    (best,) = swept({"teacher_weight": [0.2, 1.0]})
    assert best.teacher is not None
    discard_checkpoint(tmp_path / "out")
    with pytest.raises(PlanRejected, match="A sweep cannot change teacher_learning_rate"):
        swept({"teacher_learning_rate": [1e-4, 1e-3]})


def test_lessons_are_read_as_written_and_damaged_ones_are_ignored(tmp_path: Path) -> None:
    facts = TeacherFacts("full", "Model", None, {"accuracy": 0.5}, 2)
    logits = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = tmp_path / "lessons.safetensors"
    Lessons(facts, logits, logits[:2]).save(path)
    read = Lessons.load(path)
    assert read is not None
    assert read.teacher == facts
    np.testing.assert_array_equal(read.labeled, logits)
    path.write_bytes(path.read_bytes()[:-4])
    assert Lessons.load(path) is None
    assert Lessons.load(tmp_path / "missing") is None


def test_a_step_has_labeled_and_unlabeled_rows_in_every_batch(
    backbone: Backbone, backbone_folder: Path, rows: Path, unlabeled: Path, tmp_path: Path
) -> None:
    """Every unlabeled row is seen once before any is seen again."""
    numbers: list[int] = []
    lengths: set[int] = set()

    def watch(runs: Sequence[Run]) -> None:
        (run,) = runs
        if run.ended is not None:
            return
        pieces = run.next_pieces()
        lengths.add(sum(piece.target.item() == -100 for piece in pieces))
        assert run.taught is not None
        numbers.extend(run.taught.unlabeled_of_step(run.step))

    plan = plan_of(
        backbone_folder,
        rows,
        unlabeled=unlabeled,
        unlabeled_batch_size=5,
        gradient_accumulation=2,
        epochs=30,
    )
    run_plan(plan, tmp_path / "out", watch=watch)
    assert lengths == {10}
    total = max(numbers) + 1
    assert sorted(numbers[:total]) == list(range(total))
