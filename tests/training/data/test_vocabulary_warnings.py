"""Texts that the backbone's vocabulary does not cover: reported before training starts."""

from pathlib import Path
from typing import Any

from prefixes.backbone import Backbone
from server.command_line.training_run import train_and_publish
from tests.training.learnable_tasks import make_config, sentiment_rows, start, write_jsonl
from training.learning.run import Run
from training.settings.plan import TrainPlan

CHINESE = ("这部电影很好", "天气不错", "我爱北京")


def run_on(backbone: Backbone, path: Path, **changes: Any) -> Run:
    return start(backbone, make_config(path, validation=path, **changes))


def unknown_of(run: Run) -> list[str]:
    return [one for one in run.warnings if "are unknown to the backbone" in one]


def chinese_rows(label: str) -> list[dict[str, Any]]:
    return [{"text": f"{text} {number}", "label": label} for number, text in enumerate(CHINESE)]


def test_texts_that_the_backbone_reads_are_no_warning(backbone: Backbone, tmp_path: Path) -> None:
    run = run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(40)))
    assert unknown_of(run) == []
    assert run.rows.data.is_readable


def test_a_file_in_a_script_that_the_vocabulary_lacks_is_counted(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [*chinese_rows("good"), *chinese_rows("bad")]
    run = run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", rows))
    (warning,) = unknown_of(run)
    # 14 characters, and a digit in each row; this vocabulary has no digits.
    assert warning.startswith(
        "rows.jsonl: 34 of 34 tokens (100.0%) are unknown to the backbone tiny-bert, at lines 1, "
        "2, 3 and 3 more: it cannot read these texts, however long it is trained. Use a backbone "
        "whose vocabulary has Chinese characters"
    )
    assert not run.rows.data.is_readable


def test_a_label_whose_rows_alone_are_unknown_is_named(backbone: Backbone, tmp_path: Path) -> None:
    rows = [*sentiment_rows(400), *chinese_rows("foreign")]
    run = run_on(backbone, write_jsonl(tmp_path / "rows.jsonl", rows))
    (warning,) = unknown_of(run)
    assert "most in rows with the label 'foreign' (100.0%)" in warning
    assert run.rows.data.is_readable


def test_more_epochs_are_not_advised_for_texts_that_the_backbone_cannot_read(
    backbone_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    rows = [*chinese_rows("good"), *chinese_rows("good"), *chinese_rows("bad")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    config = make_config(path, validation=path, max_steps=1)
    plan = TrainPlan(runs=(config,), backbone=str(backbone_folder), device="cpu")
    train_and_publish(plan, tmp_path / "out", resume=False, publish_to=None, key="", alias=None)
    printed = " ".join(capsys.readouterr().err.split())
    assert "for every validation row" in printed
    assert "more epochs" not in printed
    assert "The backbone cannot read the texts" in printed
