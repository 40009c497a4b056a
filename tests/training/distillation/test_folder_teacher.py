"""Teachers from folders: their answers are in the order of the task, or they are rejected."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prefixes import PrefixSpec
from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.distillation.teachers import LABELS, plan_of, write_distilbert
from tests.training.learnable_tasks import pair_rows, sentiment_rows, write_jsonl
from training.distillation.folder_teacher import FolderTeacher
from training.errors import PlanRejected
from training.examples import Examples
from training.sessions.session import run_plan

TEXTS = ("the film is good", "the river", "my card was lost and found now")


def spec_of(backbone: Backbone) -> PrefixSpec:
    return make_spec(backbone.fingerprint, labels=LABELS)


def answers_of(
    folder: Path, backbone: Backbone
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    teacher = FolderTeacher.load(folder, spec_of(backbone), backbone)
    return teacher.answer(Examples([{"text": text} for text in TEXTS], ()))


def test_another_architecture_answers_as_in_transformers(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    folder = write_distilbert(tmp_path / "teacher", backbone_folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in TEXTS:
        with torch.inference_mode():
            expected.append(model(**tokenizer(text, return_tensors="pt")).logits[0].numpy())
    np.testing.assert_allclose(answers_of(folder, backbone), expected, atol=1e-5)


def test_labels_are_matched_by_name(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    plain = write_distilbert(tmp_path / "plain", backbone_folder)
    turned = write_distilbert(tmp_path / "turned", backbone_folder, LABELS[::-1])
    np.testing.assert_allclose(
        answers_of(turned, backbone), answers_of(plain, backbone)[:, ::-1], atol=1e-6
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda _, __: None, "is not a folder: give 'full'", id="missing"),
        pytest.param(lambda folder, _: folder.mkdir(), "could not be read: expected", id="empty"),
        pytest.param(
            lambda folder, backbone: folder.symlink_to(backbone),
            "is not a fine-tuned classifier: .* are missing",
            id="bare",
        ),
        pytest.param(
            lambda folder, backbone: write_distilbert(folder, backbone, ("LABEL_0", "LABEL_1")),
            "expected 'bad' and 'good'; found 'LABEL_0' and 'LABEL_1'.* set|name its labels",
            id="labels",
        ),
        pytest.param(
            lambda folder, backbone: write_distilbert(folder, backbone, (*LABELS, "other")),
            "has other labels than the rows",
            id="more-labels",
        ),
        pytest.param(
            lambda folder, backbone: write_distilbert(
                folder, backbone, problem_type="multi_label_classification"
            ),
            "is a model for multi_label_classification",
            id="several-labels",
        ),
    ],
)
def test_a_model_that_cannot_teach_is_rejected(
    backbone: Backbone,
    backbone_folder: Path,
    tmp_path: Path,
    write: Callable[[Path, Path], object],
    message: str,
) -> None:
    write(tmp_path / "teacher", backbone_folder)
    with pytest.raises(PlanRejected, match=message):
        FolderTeacher.load(tmp_path / "teacher", spec_of(backbone), backbone)


def test_a_prefix_learns_from_a_folder_and_names_it(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(60))
    folder = write_distilbert(tmp_path / "my-teacher", backbone_folder)
    plan = plan_of(backbone_folder, rows, teacher=str(folder), teacher_learning_rate=1.5e-4)
    (trained,) = run_plan(plan, tmp_path / "out", watch=lambda _: None)
    provenance = trained.finished.prefix.spec.provenance
    assert provenance is not None
    facts = provenance.recipe["teacher"]
    assert isinstance(facts, dict)
    assert facts["name"] == "my-teacher"
    assert facts["architecture"] == "DistilBertForSequenceClassification"
    assert len(str(facts["sha256"])) == 64
    assert facts["num_unlabeled_rows"] == 0


def test_a_teacher_reads_pairs(backbone: Backbone, backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", pair_rows(40))
    folder = write_distilbert(tmp_path / "teacher", backbone_folder, ("0", "1"))
    plan = plan_of(
        backbone_folder, rows, teacher=str(folder), teacher_learning_rate=1.5e-4, epochs=1
    )
    (trained,) = run_plan(plan, tmp_path / "out", watch=lambda _: None)
    assert trained.teacher is not None
