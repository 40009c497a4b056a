"""The loop: tasks of every type are learned, and runs that share batches share nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefixes import Prefix
from prefixes.backbone import Backbone, load_backbone
from tests.training.learnable_tasks import (
    ROWS_OF,
    choice_rows,
    count_rows,
    make_config,
    pair_rows,
    partner_rows,
    question_rows,
    sentiment_rows,
    start,
    step_all,
    tagged_rows,
    topic_rows,
    train_all,
    write_jsonl,
)
from training.learning.run import Run


def best_of(run: Run) -> Prefix:
    assert run.best_prefix is not None
    return run.best_prefix


@pytest.mark.parametrize(
    ("rows", "changes", "metric"),
    [
        pytest.param(sentiment_rows(96), {"epochs": 8}, "accuracy", id="single-label"),
        pytest.param(
            sentiment_rows(96),
            {"projection_size": 16, "learning_rate": 0.01, "epochs": 8},
            "accuracy",
            id="single-label-with-mlp",
        ),
        pytest.param(
            sentiment_rows(96),
            {"head_activation": "tanh", "head_learning_rate": 0.02, "epochs": 12},
            "accuracy",
            id="single-label-with-dense-head",
        ),
        pytest.param(
            sentiment_rows(96),
            {"initialization": "activations", "epochs": 40},
            "accuracy",
            id="single-label-from-activations",
        ),
        pytest.param(pair_rows(96), {"epochs": 8}, "accuracy", id="pairs"),
        pytest.param(
            topic_rows(128),
            {"problem_type": "multi_label_classification", "epochs": 8},
            "accuracy",
            id="multi-label",
        ),
        pytest.param(
            count_rows(128), {"problem_type": "regression", "epochs": 8}, "pearson", id="regression"
        ),
        pytest.param(
            choice_rows(96),
            {"task_type": "multiple_choice", "epochs": 8},
            "accuracy",
            id="multiple-choice",
        ),
        pytest.param(
            tagged_rows(96),
            {"task_type": "token_classification", "epochs": 8},
            "entity_f1",
            id="token-classification",
        ),
        pytest.param(
            question_rows(96),
            {"task_type": "question_answering", "epochs": 12},
            "exact_match",
            id="question-answering",
        ),
        pytest.param(
            sentiment_rows(96), {"method": "prompt", "epochs": 12}, "accuracy", id="prompt"
        ),
        pytest.param(
            tagged_rows(96),
            {"task_type": "token_classification", "method": "prompt", "epochs": 8},
            "entity_f1",
            id="prompt-of-tags",
        ),
        pytest.param(
            sentiment_rows(96),
            {"method": "vectors", "prefix_length": 0, "learning_rate": 0.05, "epochs": 12},
            "accuracy",
            id="vectors",
        ),
        pytest.param(
            tagged_rows(96),
            {
                "task_type": "token_classification",
                "method": "vectors",
                "prefix_length": 0,
                "learning_rate": 0.05,
                "epochs": 8,
            },
            "entity_f1",
            id="vectors-of-tags",
        ),
        pytest.param(
            sentiment_rows(96),
            {"method": "head", "prefix_length": 0, "epochs": 12},
            "accuracy",
            id="head",
        ),
    ],
)
def test_a_task_that_can_be_learned_is_learned(
    backbone: Backbone, tmp_path: Path, rows: list[Any], changes: dict[str, Any], metric: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    run = start(backbone, make_config(path, validation=path, **changes))
    train_all(backbone, [run])
    assert run.best is not None
    assert run.best.metrics[metric] == pytest.approx(1.0, abs=0.01)


def test_an_embedding_brings_together_what_belongs_together(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", partner_rows(128))
    run = start(
        backbone, make_config(path, task_type="embedding", epochs=10, batch_size=16, seed=1)
    )
    train_all(backbone, [run])
    assert run.history[-1].loss < 0.5 * run.losses[0]
    assert run.best is not None
    assert run.best_prefix is not None
    assert run.best.metrics["mrr"] > 0.9
    assert len(run.best_prefix.tensors) == 2  # keys and values: there is no output layer


def test_a_regression_answers_on_the_scale_of_its_labels(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", count_rows(128))
    run = start(backbone, make_config(path, problem_type="regression", epochs=8))
    train_all(backbone, [run])
    assert run.best is not None
    assert run.best.metrics["negative_mse"] > -4  # labels run from 100 to 150
    assert run.best.loss < 0.1  # in standard deviations, like the losses of training


def test_runs_that_share_batches_learn_what_each_learns_alone(
    backbone: Backbone, tmp_path: Path
) -> None:
    words = write_jsonl(tmp_path / "words.jsonl", sentiment_rows(40))
    topics = write_jsonl(tmp_path / "topics.jsonl", topic_rows(56))
    numbers = write_jsonl(tmp_path / "numbers.jsonl", count_rows(30))
    noisy: dict[str, Any] = {"feature_dropout": 0.2, "prefix_dropout": 0.1, "max_steps": 6}
    hidden = {"hidden_dropout": 0.1}
    configs = [
        make_config(words, **noisy, **hidden),
        make_config(words, **noisy, seed=1, prefix_length=9, projection_size=8),
        make_config(topics, **noisy, problem_type="multi_label_classification", batch_size=5),
        make_config(numbers, **noisy, problem_type="regression", gradient_accumulation=2),
        make_config(words, method="vectors", prefix_length=0, **hidden, max_steps=6),
        make_config(
            words,
            method="head",
            prefix_length=0,
            feature_dropout=0.2,
            head_activation="tanh",
            max_steps=6,
        ),
    ]
    alone = [start(backbone, config) for config in configs]
    for run in alone:
        train_all(backbone, [run])
    together = [start(backbone, config) for config in configs]
    train_all(backbone, together, tokens_per_batch=60)  # cuts steps where none was cut before
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.losses, one.losses, rtol=1e-4)
        for name, tensor in best_of(one).tensors.items():
            np.testing.assert_allclose(best_of(other).tensors[name], tensor, rtol=1e-3, atol=1e-4)


def _shape(method: str, length: int) -> dict[str, Any]:
    if method == "vectors":
        return {"method": method, "prefix_length": 0}
    return {"method": method, "prefix_length": length, "prefix_dropout": 0.1}


@pytest.mark.parametrize("method", ["prefix", "prompt", "vectors"])
def test_types_of_task_that_share_batches_learn_what_each_learns_alone(
    backbone: Backbone, tmp_path: Path, method: str
) -> None:
    configs = [
        make_config(
            write_jsonl(tmp_path / f"{number}.jsonl", rows(40)),
            task_type=task_type,
            **_shape(method if number != 1 else "prefix", 3 + number),  # several methods too
            feature_dropout=0.2,
            hidden_dropout=0.1,
            max_steps=4,
            gradient_accumulation=1 + number % 2,
        )
        for number, (task_type, rows) in enumerate(ROWS_OF.items())
    ]
    alone = [start(backbone, config) for config in configs]
    for run in alone:
        train_all(backbone, [run])
    together = [start(backbone, config) for config in configs]
    train_all(backbone, together, tokens_per_batch=150)  # cuts steps where none was cut before
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.losses, one.losses, rtol=1e-5)
        assert other.history[-1].metrics == pytest.approx(one.history[-1].metrics, rel=1e-5)
        tensors = dict(best_of(one).tensors)
        if one.config.task_type in {"multiple_choice", "question_answering"}:
            # Added to the scores of all choices or tokens alike, it changes nothing and learns
            # from nothing but rounding.
            del tensors["head.output.bias"]
        for name, tensor in tensors.items():
            np.testing.assert_allclose(best_of(other).tensors[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_batch_of_an_embedding_runs_as_one_even_beyond_the_budget(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", partner_rows(40))
    config = make_config(path, task_type="embedding", batch_size=12, max_steps=3)
    whole, cut = start(backbone, config), start(backbone, config)
    train_all(backbone, [whole])
    train_all(backbone, [cut], tokens_per_batch=1)
    assert cut.losses == whole.losses


def test_the_loss_of_tags_is_the_mean_over_the_tagged_tokens_of_a_step(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [{"tokens": ["good"] * n, "tags": ["B-x"] + ["O"] * (n - 1)} for n in (1, 2, 3, 9)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = make_config(
        path, task_type="token_classification", validation=path, batch_size=4, max_steps=1
    )
    whole = start(backbone, config)
    parts = start(backbone, config.model_copy(update={"batch_size": 1, "gradient_accumulation": 4}))
    train_all(backbone, [whole])
    train_all(backbone, [parts])
    assert whole.weight(whole.pieces) == 15
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)


def test_a_run_that_diverges_takes_no_other_with_it(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(48))
    sound = start(backbone, make_config(path, max_steps=4))
    broken = start(backbone, make_config(path, max_steps=4, prefix_length=7))
    with torch.no_grad():
        broken.learner.table.fill_(float("nan"))
    alone = start(backbone, make_config(path, max_steps=4))
    train_all(backbone, [alone])
    train_all(backbone, [broken, sound])
    assert broken.ended is not None
    assert "diverged" in broken.ended
    assert broken.best is None
    np.testing.assert_allclose(sound.losses, alone.losses, rtol=1e-4)


def test_gradient_accumulation_equals_one_large_batch(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(50))
    large = start(backbone, make_config(path, batch_size=20, max_steps=3))
    small = start(backbone, make_config(path, batch_size=5, gradient_accumulation=4, max_steps=3))
    train_all(backbone, [large])
    train_all(backbone, [small])
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-4)


def test_the_backbone_is_left_as_it_was(backbone: Backbone, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    run = start(backbone, make_config(write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))))
    step_all(backbone, [run])
    assert all(parameter.grad is None for parameter in backbone.model.parameters())
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_every_parameter_of_a_learner_learns(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    config = make_config(path, projection_size=8, head_activation="gelu", warmup=0)
    run = start(backbone, config)
    before = {name: tensor.clone() for name, tensor in run.learner.state_dict().items()}
    step_all(backbone, [run])
    after = run.learner.state_dict()
    unchanged = [name for name, tensor in before.items() if torch.equal(after[name], tensor)]
    assert not unchanged


def test_training_runs_in_bfloat16(backbone_folder: Path, tmp_path: Path) -> None:
    half = load_backbone(backbone_folder, device="cpu", dtype="bfloat16")
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(96))
    run = start(half, make_config(path, validation=path, feature_dropout=0.1, epochs=8))
    train_all(half, [run], tokens_per_batch=40)  # several passes walk back to one head
    assert run.best is not None
    assert run.best_prefix is not None
    assert run.best.metrics["accuracy"] == 1.0
    assert run.best_prefix.tensors["prefix.keys"].dtype == np.float32


def test_dropout_in_the_backbone_changes_what_a_run_learns(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(24))
    losses = []
    for probability in (0.0, 0.3):
        config = make_config(path, feature_dropout=0.0, hidden_dropout=probability, max_steps=3)
        run = start(backbone, config)
        train_all(backbone, [run])
        losses.append(run.losses)
    assert losses[0] != losses[1]
