"""A run: its steps, its order of rows, when it is measured and when it ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.prefixes.facts import BACKBONE
from tests.training.learnable_tasks import (
    make_config,
    sentiment_rows,
    start,
    train_all,
    write_jsonl,
)
from training.learning.loop import train
from training.tasks import definition_of


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(44))  # 40 to train on


def test_an_epoch_takes_every_row_once(backbone: Backbone, rows: Path) -> None:
    run = start(backbone, make_config(rows, batch_size=7))
    seen = []
    for step in range(run.steps_per_epoch):
        run.step = step
        seen += run.next_rows()
    assert sorted(seen) == list(range(40))


def test_epochs_and_seeds_take_rows_in_different_orders(backbone: Backbone, rows: Path) -> None:
    one, other = (start(backbone, make_config(rows, seed=seed, batch_size=40)) for seed in (0, 1))
    first = one.next_rows()
    one.step = 1
    assert first != one.next_rows()
    assert first != other.next_rows()


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        pytest.param({"epochs": 2}, 10, id="epochs"),
        pytest.param({"epochs": 1.5}, 8, id="half-an-epoch"),
        pytest.param({"epochs": 2, "max_steps": 3}, 3, id="max-steps"),
        pytest.param({"epochs": 2, "gradient_accumulation": 2}, 6, id="accumulation"),
    ],
)
def test_a_run_takes_as_many_steps_as_it_was_told(
    backbone: Backbone, rows: Path, changes: dict[str, Any], steps: int
) -> None:
    run = start(backbone, make_config(rows, **changes))
    train_all(backbone, [run])
    assert run.step == steps == len(run.losses)
    assert run.ended == "all steps were taken"
    assert run.history[-1].step == steps


def test_a_run_is_measured_after_every_epoch_or_as_often_as_asked(
    backbone: Backbone, rows: Path
) -> None:
    by_epoch = start(backbone, make_config(rows, epochs=2))
    by_steps = start(backbone, make_config(rows, epochs=2, evaluate_every=4))
    train_all(backbone, [by_epoch, by_steps])
    assert [one.step for one in by_epoch.history] == [5, 10]
    assert [one.step for one in by_steps.history] == [4, 8, 10]


def test_rows_seen_count_the_last_short_batch_of_an_epoch(backbone: Backbone, rows: Path) -> None:
    run = start(backbone, make_config(rows, batch_size=16, epochs=2))
    run.step = run.steps_per_epoch + 1
    assert run.num_rows_seen == 40 + 16


def test_a_run_ends_early_when_it_gets_no_better(backbone: Backbone, rows: Path) -> None:
    # An enormous weight decay shrinks what was learned, so the first evaluation stays the best.
    run = start(
        backbone, make_config(rows, epochs=40, patience=2, weight_decay=15, initialization="noise")
    )
    train_all(backbone, [run])
    assert run.best is not None
    assert run.ended == "no better in 2 evaluations"
    assert run.step == run.best.step + 2 * run.steps_per_epoch


def test_the_best_evaluation_is_kept_not_the_last(backbone: Backbone, rows: Path) -> None:
    run = start(backbone, make_config(rows, epochs=3))
    train_all(backbone, [run])
    assert run.best_prefix is not None
    kept = run.best_prefix.tensors["prefix.keys"].copy()
    merits = [(one.metrics["accuracy"], -one.loss) for one in run.history]
    best = max(range(len(merits)), key=merits.__getitem__)
    assert run.best == run.history[best]
    # A worse moment later changes nothing of what was kept.
    assert run.learner.output is not None
    with torch.no_grad():
        run.learner.output.weight.neg_()
    run.step, run.losses = run.step + 1, [*run.losses, 1.0]
    run.evaluate(backbone, 4096)
    assert run.best == run.history[best]
    assert (run.best_prefix.tensors["prefix.keys"] == kept).all()


def test_few_rows_are_gone_through_until_the_steps_are_enough(
    backbone: Backbone, rows: Path
) -> None:
    few = start(backbone, make_config(rows, epochs=1, min_steps=50))
    many = start(backbone, make_config(rows, epochs=40, min_steps=50))
    bounded = start(backbone, make_config(rows, epochs=1, min_steps=50, max_steps=9))
    assert few.total_steps == 50
    assert many.total_steps == 40 * many.steps_per_epoch > 50
    assert bounded.total_steps == 9


def test_a_regression_whose_sample_is_all_alike_keeps_its_own_scale() -> None:
    spec = make_spec(BACKBONE, problem_type="regression", labels=("score",))

    scale = definition_of("sequence_classification").scale(spec, [(3.0,)] * 4)

    assert (scale.center, scale.spread) == (3.0, 1.0)


def test_an_average_follows_what_is_learned_and_is_what_is_kept(
    backbone: Backbone, rows: Path
) -> None:
    run = start(backbone, make_config(rows, averaging=0.15, max_steps=2, epochs=2))
    tables = [run.learner.table.detach().clone()]
    train(
        backbone,
        [run],
        tokens_per_batch=4096,
        after_step=lambda _: tables.append(run.learner.table.detach().clone()),
    )
    second = tables[1] * 0.15 + tables[2] * 0.85
    assert run.average is not None
    torch.testing.assert_close(run.average.table, second)
    assert run.best_prefix is not None
    kept = run.average.fold().tensors["prefix.keys"]
    np.testing.assert_array_equal(run.best_prefix.tensors["prefix.keys"], kept)
