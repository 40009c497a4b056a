"""Full fine-tuning: the whole model learns, is measured as a prefix is, and is saved as usual."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prefixes.backbone import Backbone, load_backbone
from tests.training.learnable_tasks import (
    choice_rows,
    count_rows,
    pair_rows,
    question_rows,
    sentiment_rows,
    tagged_rows,
    topic_rows,
    write_jsonl,
)
from training.baselines.fine_tuning import FineTuningRun, learn
from training.data.parts import load_task
from training.errors import PlanRejected, TrainingError
from training.learning.base_run import BaseRun
from training.sessions.fine_tuning_session import tune_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan, check_plan


def full(path: Path, **changes: Any) -> TrainConfig:
    """A short fine-tuning of a tiny model, which takes larger steps than a real one."""
    fields = {"task": "acme/task", "method": "full", "train": path, "validation": path}
    recipe = {
        "learning_rate": 2e-3,
        "max_length": 32,
        "batch_size": 8,
        "epochs": 16,
        "min_steps": 1,
    }
    return TrainConfig(**{**fields, **recipe, **changes})


def tune(backbone: Backbone, config: TrainConfig, tokens_per_batch: int = 4096) -> FineTuningRun:
    data = load_task(config)
    tuning = FineTuningRun.start(config, data, backbone, tokens_per_batch=tokens_per_batch)
    learn(tuning, lambda _: None)
    return tuning


@pytest.mark.parametrize(
    ("rows", "changes", "metric"),
    [
        pytest.param(sentiment_rows(96), {}, "accuracy", id="single-label"),
        pytest.param(pair_rows(96), {}, "accuracy", id="pairs"),
        pytest.param(
            topic_rows(128),
            {"problem_type": "multi_label_classification", "epochs": 30},
            "accuracy",
            id="multi-label",
        ),
        pytest.param(choice_rows(96), {"task_type": "multiple_choice"}, "accuracy", id="choice"),
        pytest.param(tagged_rows(96), {"task_type": "token_classification"}, "entity_f1", id="tag"),
        pytest.param(
            question_rows(96),
            {"task_type": "question_answering"},
            "exact_match",
            id="answer",
        ),
    ],
)
def test_a_task_that_can_be_learned_is_learned(
    backbone: Backbone, tmp_path: Path, rows: list[Any], changes: dict[str, Any], metric: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    tuning = tune(backbone, full(path, **changes))
    assert tuning.best is not None
    assert tuning.best.metrics[metric] > 0.95
    measured = tuning.measure(backbone, load_task(tuning.config).validation)
    assert measured.metrics[metric] == pytest.approx(tuning.best.metrics[metric])


def test_in_bfloat16_it_computes_by_autocast_and_learns_in_float32(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(96))
    tuning = tune(replace(backbone, dtype=torch.bfloat16), full(path))
    exact = replace(tuning.padded, dtype=torch.float32)
    inputs = tuning.rows.held_out.encoded[:16]
    drift = np.ptp(np.array(tuning.padded.outputs_of(inputs)) - np.array(exact.outputs_of(inputs)))
    assert tuning.best is not None
    assert tuning.best.metrics["accuracy"] > 0.95
    assert {values.dtype for values in tuning.padded.model.state_dict().values()} <= {
        torch.float32,
        torch.int64,
    }
    assert 0 < drift < 0.2


def test_a_regression_answers_on_the_scale_of_its_labels(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", count_rows(128))  # labels run from 100 to 150
    tuning = tune(backbone, full(path, problem_type="regression"))
    assert tuning.best is not None
    assert tuning.best.metrics["pearson"] > 0.95
    measured = tuning.measure(backbone, load_task(tuning.config).validation)
    assert measured.metrics["negative_mse"] == pytest.approx(
        tuning.best.metrics["negative_mse"], rel=1e-3
    )


def test_all_weights_move_and_those_of_the_loaded_backbone_stay(
    backbone_folder: Path, tmp_path: Path
) -> None:
    backbone = load_backbone(backbone_folder, device="cpu")
    before = {name: x.clone() for name, x in backbone.model.state_dict().items()}
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(32))
    tuning = tune(backbone, full(path, epochs=1))
    after = tuning.padded.model.base_model.state_dict()
    moved = [name for name, x in before.items() if not torch.equal(x, after.get(name, x))]
    assert len(moved) > 0.8 * len(before)
    for name, x in backbone.model.state_dict().items():
        assert torch.equal(x, before[name])


def test_a_step_cut_into_passes_is_the_same_step(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(32))
    losses = []
    for tokens_per_batch in (4096, 16):
        tuning = FineTuningRun.start(
            full(path), load_task(full(path)), backbone, tokens_per_batch=tokens_per_batch
        )
        for module in tuning.padded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # which draws by pass
        for _ in range(3):
            tuning.advance()
        losses.append(tuning.losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_every_row_is_seen_once_an_epoch(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(45))
    config = full(path)
    tuning = FineTuningRun.start(config, load_task(config), backbone, tokens_per_batch=4096)
    seen = []
    for step in range(tuning.steps_per_epoch):
        tuning.step = step
        seen += tuning.next_rows()
    assert sorted(seen) == list(range(len(tuning.pieces)))


def test_a_plan_writes_models_that_transformers_loads(
    backbone_folder: Path, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(64))
    plan = TrainPlan(
        runs=(
            full(path, task="acme/a", test=path, epochs=8),
            full(path, task="acme/b", seed=1, epochs=1),
        ),
        backbone=str(backbone_folder),
        device="cpu",
    )
    steps: list[int] = []

    def watch(active: Sequence[BaseRun]) -> None:
        steps.append(active[0].step)

    first, second = tune_plan(plan, tmp_path / "out", watch=watch)
    assert (first.folder, second.folder) == (
        tmp_path / "out/acme/a/model",
        tmp_path / "out/acme/b/model",
    )
    assert steps == [*range(65), *range(9)]

    report = json.loads((tmp_path / "out/acme/a/report.json").read_text(encoding="utf-8"))
    assert report["num_parameters"]["trained"] > 10_000
    assert report["test"]["metrics"] == first.test.metrics if first.test else False
    assert report["timing"]["num_rows"] == 8 * 64
    assert (tmp_path / "out/acme/a/curve.png").stat().st_size > 1000

    model = AutoModelForSequenceClassification.from_pretrained(first.folder)
    tokenizer = AutoTokenizer.from_pretrained(first.folder)
    texts = ["the film is great", "the plot is poor"]
    with torch.inference_mode():
        logits = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    labels = [model.config.id2label[number] for number in np.argmax(logits.numpy(), axis=1)]
    assert labels == ["good", "bad"]


def test_a_training_that_never_came_to_an_evaluation_is_told(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(32))
    with pytest.raises(TrainingError, match="acme/task diverged"):
        tune(backbone, full(path, learning_rate=1e30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"prefix_length": 4}, "prefix_length applies only to a prefix", id="prefix"),
        pytest.param({"start_from": "x"}, "start_from applies only to a prefix file", id="start"),
        pytest.param({"averaging": 0.9}, "averaging applies only to prefixes", id="average"),
        pytest.param({"head_activation": "tanh"}, "head_activation applies only", id="head"),
        pytest.param({"task_type": "embedding"}, "does not support embedding", id="embedding"),
    ],
)
def test_what_a_whole_model_has_no_place_for_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        full(Path("rows.jsonl"), **changes)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        pytest.param({"multitask": {"steps": 2}}, r"not support \[multitask\]", id="multitask"),
        pytest.param({"sweep": {"space": {"seed": [1, 2]}}}, r"not support \[sweep\]", id="sweep"),
    ],
)
def test_a_plan_of_whole_models_has_nothing_that_prefixes_share(
    plan: dict[str, Any], message: str
) -> None:
    run = {"task": "a/b", "train": "rows.jsonl", "method": "full"}
    with pytest.raises(PlanRejected, match=message):
        check_plan({"runs": [run], **plan}, origin="a test")
    other = {**run, "task": "a/c", "method": "prefix"}
    with pytest.raises(PlanRejected, match="for all runs of a plan, or for none"):
        check_plan({"runs": [run, other]}, origin="a test")
