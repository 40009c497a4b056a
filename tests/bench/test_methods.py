"""The settings that each compared method tries."""

from pathlib import Path

import pytest

pytest.importorskip("peft", reason="needs the extra of benchmarks")

from bench.methods import METHODS, distinct_settings
from training.settings.config import TrainConfig


@pytest.mark.parametrize(("rows", "num_settings"), [(100, 3), (1056, 3), (1057, 5), (None, 5)])
def test_more_epochs_are_tried_only_where_they_add_steps(
    rows: int | None, num_settings: int
) -> None:
    assert len(distinct_settings(METHODS["fine-tuning"].grid, rows)) == num_settings


TAGS, SENTENCES = "token_classification", "sequence_classification"


@pytest.mark.parametrize(
    ("name", "task_type"),
    [
        *((name, SENTENCES) for name in METHODS),
        *((name, TAGS) for name in METHODS if name != "few_shot"),
    ],
)
def test_a_method_has_its_own_defaults_on_every_type_of_task(name: str, task_type: str) -> None:
    task = TrainConfig(task="acme/x", train=Path("x.jsonl"), task_type=task_type)
    config = METHODS[name].config_of(task, {})
    has_rank = name == "vectors" and task_type == TAGS
    assert (config.rank, config.hidden_dropout) == ((8, 0.1) if has_rank else (0, 0.0))
    assert config.task_type == task_type
