"""Finishing: the file holds what was trained, measured on the numbers that will be served."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix, PrefixRejected, digest_of
from prefixes.backbone import Backbone
from tests.factories import with_tensors
from tests.training.learnable_tasks import (
    PRAISE,
    ROWS_OF,
    make_config,
    sentiment_rows,
    start,
    train_all,
    write_jsonl,
)
from training.data.parts import load_task
from training.results.finish import FinishedPrefix, finish
from training.results.golden import replay
from training.settings.config import TrainConfig
from training.tasks.metrics import CALIBRATION_ERROR

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def finish_training(backbone: Backbone, config: TrainConfig) -> FinishedPrefix:
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best_prefix is not None
    return finish(
        backbone, config, load_task(config), run.best_prefix, tokens_per_batch=500, now=NOW
    )


def config_of(tmp_path: Path, **changes: Any) -> TrainConfig:
    train = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(64))
    test = write_jsonl(tmp_path / "test.jsonl", sentiment_rows(40, seed=1))
    held_out = write_jsonl(tmp_path / "held-out.jsonl", sentiment_rows(20, seed=2))
    return make_config(train, validation=held_out, test=test, **{"epochs": 6, **changes})


def test_the_file_tells_where_it_came_from_and_how_well_it_does(
    backbone: Backbone, tmp_path: Path
) -> None:
    config = config_of(tmp_path, description="what people say of things")
    finished = finish_training(backbone, config)
    spec = Prefix.from_bytes(finished.data, fits=[backbone.fingerprint]).spec
    assert spec.description == "what people say of things"
    assert finished.test is not None
    assert spec.metrics["test_accuracy"] == finished.test.metrics["accuracy"] >= 0.75
    assert spec.metrics["validation_macro_f1"] == finished.validation.metrics["macro_f1"]
    assert spec.provenance is not None
    assert spec.provenance.created_at == NOW
    assert spec.provenance.train_rows == 64
    assert spec.provenance.data_sha256 == load_task(config).sha256
    assert spec.provenance.recipe["learning_rate"] == config.learning_rate
    assert not {"train", "validation", "test"} & set(spec.provenance.recipe)  # no paths
    assert finished.digest == digest_of(finished.data)


def test_golden_examples_cover_the_labels_and_replay(backbone: Backbone, tmp_path: Path) -> None:
    finished = finish_training(backbone, config_of(tmp_path, max_steps=2, golden_examples=4))
    golden = finished.prefix.spec.golden
    praised = [str(one.fields["text"]).endswith(PRAISE) for one in golden]
    assert sorted(praised) == [False, False, True, True]
    replay(backbone, finished.prefix)


@pytest.mark.parametrize("task_type", ROWS_OF)
def test_golden_examples_of_made_up_inputs_hold_no_rows_and_replay(
    backbone: Backbone, tmp_path: Path, task_type: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS_OF[task_type](40))
    config = make_config(rows, task_type=task_type, max_steps=2, golden_inputs="made_up")
    finished = finish_training(backbone, config)
    golden = finished.prefix.spec.golden
    data = load_task(config)
    texts = {str(one.fields) for one in golden}
    assert len(texts) == config.golden_examples
    assert not texts & {str(dict(row)) for part in data.parts.values() for row in part.inputs}
    bent = with_tensors(
        finished.prefix, {"prefix.keys": finished.prefix.tensors["prefix.keys"] + 1}
    )
    with pytest.raises(PrefixRejected, match=r"spec\.golden"):
        replay(backbone, bent)


@pytest.mark.parametrize("changes", [{}, {"special_tokens": "control"}])
def test_special_tokens_in_texts_are_ordinary_unless_the_training_says_otherwise(
    backbone: Backbone, tmp_path: Path, changes: dict[str, Any]
) -> None:
    finished = finish_training(backbone, config_of(tmp_path, max_steps=2, **changes))
    spec = finished.prefix.spec
    ((encoded,),) = backbone.texts.encode(spec, [{"text": "good [SEP] film"}])
    is_control = spec.special_tokens == "control"
    assert is_control == bool(changes)
    assert list(encoded.token_ids).count(3) == 1 + is_control  # the tokenizer's own, and the text's


def test_a_prefix_that_no_longer_gives_its_golden_logits_is_refused(
    backbone: Backbone, tmp_path: Path
) -> None:
    finished = finish_training(backbone, config_of(tmp_path, max_steps=2))
    keys = finished.prefix.tensors["prefix.keys"] + 1
    bent = with_tensors(finished.prefix, {"prefix.keys": keys})
    with pytest.raises(PrefixRejected, match=r"spec\.golden"):
        replay(backbone, bent)


def test_a_file_may_go_without_golden_examples(backbone: Backbone, tmp_path: Path) -> None:
    finished = finish_training(backbone, config_of(tmp_path, max_steps=2, golden_examples=0))
    assert finished.prefix.spec.golden == ()


def test_a_file_of_half_precision_is_half_as_large_and_says_the_same(
    backbone: Backbone, tmp_path: Path
) -> None:
    config = config_of(tmp_path, golden_examples=0, epochs=2)
    full = finish_training(backbone, config)
    half = finish_training(backbone, config.model_copy(update={"file_dtype": "float16"}))
    assert half.prefix.tensors["prefix.keys"].dtype == np.float16
    assert (
        half.prefix.tensors["prefix.keys"].nbytes * 2 == full.prefix.tensors["prefix.keys"].nbytes
    )
    assert half.test is not None
    assert full.test is not None
    assert half.test.metrics == pytest.approx(full.test.metrics, rel=1e-2)
    assert half.test.confusion == full.test.confusion


BENT = {
    "vectors": "norms.shifts",
    "prefix": "prefix.values",
    "prompt": "prompt.embeddings",
    "head": "head.dense.weight",
}


@pytest.mark.parametrize("method", BENT)
@pytest.mark.parametrize("task_type", ROWS_OF)
def test_a_file_of_every_type_serves_what_was_trained(
    backbone: Backbone, tmp_path: Path, task_type: str, method: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS_OF[task_type](40))
    own: dict[str, Any] = {} if method in {"prefix", "prompt"} else {"prefix_length": 0}
    if method == "head":
        own["head_activation"] = "tanh"
    config = make_config(
        rows, task_type=task_type, method=method, epochs=1, golden_examples=3, **own
    )
    run = start(backbone, config)
    train_all(backbone, [run])
    assert run.best is not None
    assert run.best_prefix is not None
    finished = finish(
        backbone, config, load_task(config), run.best_prefix, tokens_per_batch=500, now=NOW
    )
    prefix = Prefix.from_bytes(finished.data, fits=[backbone.fingerprint])
    assert (prefix.spec.task_type, prefix.spec.method) == (task_type, method)
    figures = dict(run.best.metrics)
    if finished.temperature is not None:
        figures[CALIBRATION_ERROR] = finished.validation.metrics[CALIBRATION_ERROR]
    assert finished.validation.metrics == figures
    assert prefix.spec.metrics.get("temperature") == finished.temperature
    assert len(prefix.spec.golden) == 3
    replay(backbone, prefix)
    name = BENT[method]
    bent = with_tensors(prefix, {name: -prefix.tensors[name]})
    with pytest.raises(PrefixRejected, match=r"spec\.golden"):
        replay(backbone, bent)


def test_inputs_with_too_many_outputs_are_no_golden_examples(
    backbone: Backbone, tmp_path: Path
) -> None:
    # 300 tokens of 41 tags each are more than a golden example may have.
    texts = [["good"] * (299 if n % 2 else 5) for n in range(8)]
    rows = [{"tokens": text, "tags": ["B-x"] * len(text)} for text in texts]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = make_config(
        path,
        validation=path,
        task_type="token_classification",
        labels=("x", *(f"type{n}" for n in range(19))),
        max_length=301,
        max_steps=1,
        golden_examples=4,
    )
    golden = finish_training(backbone, config).prefix.spec.golden
    assert [len(example.logits) for example in golden] == [7 * 41] * 4


def test_golden_examples_leave_room_in_the_file_however_long_the_texts_are(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [
        {"text": f'{"good" if n % 2 else "bad"} "{n}"' + ' "' * 100_000, "label": n % 2}
        for n in range(16)
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = make_config(path, validation=path, max_steps=1, golden_examples=8)

    prefix = finish_training(backbone, config).prefix

    assert 0 < len(prefix.spec.golden) < 8
    replay(backbone, prefix)


@pytest.mark.parametrize("task_type", ROWS_OF)
def test_the_file_has_the_statistics_of_the_validation_rows(
    backbone: Backbone, tmp_path: Path, task_type: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS_OF[task_type](40))
    config = make_config(rows, task_type=task_type, max_steps=2)
    finished = finish_training(backbone, config)
    assert finished.prefix.spec.decisions is not None
    reference = finished.prefix.spec.decisions.reference
    assert reference is not None
    assert reference.texts == len(load_task(config).validation)
    assert sum(reference.lengths) == sum(reference.unknown) == reference.texts
