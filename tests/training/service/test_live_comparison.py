from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from prefixes import Prefix
from tests.training.learnable_tasks import make_config, sentiment_rows, write_csv
from training.errors import TrainingStopped
from training.learning.run import Run
from training.service.live_comparison import train_and_compare
from training.service.protocol.messages import Success
from training.sessions.files import CHECKPOINT


def train(
    rows: Path,
    backbone: Path,
    output: Path,
    *,
    live: Path | None = None,
    watch: Callable[[Sequence[Run]], None] = lambda _: None,
    describe: Callable[[Sequence[str]], None] = lambda _: None,
    warn: Callable[[Sequence[str]], None] = lambda _: None,
    **changes: Any,
) -> Success:
    run = make_config(rows, **{"epochs": 2, **changes}).model_dump(mode="json")
    return train_and_compare(
        {"runs": [run], "backbone": str(backbone), "device": "cpu"},
        output,
        live=live,
        seconds_between_checkpoints=3600,
        watch=watch,
        describe=describe,
        warn=warn,
    )


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "rows.csv", sentiment_rows(60))


def test_a_stopped_training_resumes_and_learns_the_same_prefix(
    rows: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    steps: list[int] = []

    def stop_at_five(runs: Sequence[Run]) -> None:
        steps.append(runs[0].step)
        if steps.count(5) == 1 and runs[0].step == 5:
            raise TrainingStopped("enough for now")

    whole = train(rows, backbone_folder, tmp_path / "whole")
    with pytest.raises(TrainingStopped):
        train(rows, backbone_folder, tmp_path / "parts", watch=stop_at_five)
    assert train(rows, backbone_folder, tmp_path / "parts", watch=stop_at_five) == whole
    assert steps.count(5) == 2  # it began again where it had stopped, and not at 0
    assert steps.count(0) == 1


def test_a_checkpoint_of_another_release_restarts_the_training(
    rows: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / CHECKPOINT).write_bytes(b"of another release")
    assert train(rows, backbone_folder, output).is_success


def test_the_live_version_is_measured_on_the_same_rows(
    rows: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    first = train(rows, backbone_folder, tmp_path / "first", test=rows)
    live = tmp_path / "first" / "prefix.safetensors"
    second = train(rows, backbone_folder, tmp_path / "second", live=live, max_steps=1, test=rows)
    assert first.live is None
    assert (second.measured_on, second.num_rows) == ("test", 60)
    assert second.live == first.new
    assert second.new != second.live


def test_a_new_version_keeps_the_order_of_the_labels_of_the_live_version(
    rows: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    train(rows, backbone_folder, tmp_path / "first", labels=("good", "bad"))
    live = tmp_path / "first" / "prefix.safetensors"
    outcome = train(rows, backbone_folder, tmp_path / "second", live=live)
    assert outcome.live is not None
    new = Prefix.load(tmp_path / "second" / "prefix.safetensors")
    assert new.spec.labels == ("good", "bad")


def test_a_live_version_with_other_labels_is_not_compared_and_the_warning_names_them(
    rows: Path, backbone_folder: Path, tmp_path: Path
) -> None:
    train(rows, backbone_folder, tmp_path / "first", labels=("good", "bad", "so-so"))
    live = tmp_path / "first" / "prefix.safetensors"
    outcome = train(rows, backbone_folder, tmp_path / "second", live=live)
    assert outcome.live is None
    assert "labels" in outcome.warnings[-1]


def test_warnings_about_rows_are_reported_before_the_first_step_and_in_the_outcome(
    backbone_folder: Path, tmp_path: Path
) -> None:
    told: list[tuple[str, ...]] = []
    summaries: list[tuple[str, ...]] = []

    def watch(runs: Sequence[Run]) -> None:
        assert told
        assert summaries == [runs[0].rows.data.summary]

    repeated = write_csv(tmp_path / "rows.csv", sentiment_rows(60) * 2)
    outcome = train(
        repeated,
        backbone_folder,
        tmp_path / "out",
        watch=watch,
        describe=lambda summary: summaries.append(tuple(summary)),
        warn=lambda warnings: told.append(tuple(warnings)),
        max_steps=1,
    )
    assert summaries[0][0].startswith(
        "train: 108 of 120 rows of rows.csv; text from column 'text';"
    )
    (warnings,) = told
    assert any("repeat an earlier one" in warning for warning in warnings)
    assert set(warnings) <= set(outcome.warnings)


def few_shot(folder: Path, output: Path, *, live: Path | None = None, **run: Any) -> Success:
    plan = {"runs": [{"task": "acme/task", "max_steps": 5000, **run}], "backbone": str(folder)}
    return train_and_compare(
        {**plan, "device": "cpu"},
        output,
        live=live,
        seconds_between_checkpoints=3600,
        watch=lambda _: pytest.fail("nothing is trained"),
        describe=lambda _: None,
        warn=lambda _: None,
    )


def test_labels_alone_have_no_figure_and_few_rows_are_cross_validated(
    backbone_folder: Path, tmp_path: Path
) -> None:
    labels = ["bad", "good"]
    first = few_shot(backbone_folder, tmp_path / "first", labels=labels)
    assert (first.new, first.live, first.num_rows) == (None, None, 0)
    live = tmp_path / "first" / "prefix.safetensors"
    again = few_shot(backbone_folder, tmp_path / "again", labels=labels, live=live)
    assert (again.new, again.live) == (None, None)
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(14))
    second = few_shot(backbone_folder, tmp_path / "second", train=str(rows), live=live)
    assert (second.measured_on, second.num_rows) == ("cross_validation", 14)
    assert second.new is not None
    assert second.live is not None
    held_out = write_csv(tmp_path / "held-out.csv", sentiment_rows(30, seed=1))
    third = few_shot(
        *(backbone_folder, tmp_path / "third"), train=str(rows), validation=str(held_out), live=live
    )
    assert (third.measured_on, third.num_rows) == ("validation", 30)


def test_few_rows_keep_the_order_of_the_labels_of_the_live_version(
    backbone_folder: Path, tmp_path: Path
) -> None:
    few_shot(backbone_folder, tmp_path / "first", labels=["good", "bad"])
    live = tmp_path / "first" / "prefix.safetensors"
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(14))
    outcome = few_shot(backbone_folder, tmp_path / "second", train=str(rows), live=live)
    assert outcome.live is not None
    assert Prefix.load(tmp_path / "second" / "prefix.safetensors").spec.labels == ("good", "bad")
