"""The flags of `run.py`: each has the effect that it has there."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.command_line.main import app
from server.command_line.ptuning_v2_flags import PtuningV2Flags
from server.command_line.ptuning_v2_settings import parts_of, settings_of
from training.errors import PlanRejected
from training.recipes import load_recipe, recipe_names, recipe_rows
from training.settings.config import TrainConfig


def settings(flags: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    original = PtuningV2Flags(family="superglue", dataset="rte", prefix=True, **given)
    return settings_of(original, {}, {"train": "x.jsonl"} if flags is None else flags)


def test_a_set_without_files_is_that_of_the_hub() -> None:
    found = settings({})
    assert found["train"] == "hub:aps/super_glue:rte:train"
    assert found["validation"] == "hub:aps/super_glue:rte:validation"
    config = TrainConfig.model_validate({"task": "a/b", "dataset": "superglue/rte"})
    assert str(config.train) == found["train"]
    assert str(config.validation) == found["validation"]


def test_files_that_are_named_come_before_those_of_a_folder(tmp_path: Path) -> None:
    for name in ("train.jsonl", "val.jsonl"):
        (tmp_path / name).touch()
    found = settings({"validation": Path("dev.jsonl")}, data_dir=tmp_path)
    assert (found["train"], found["validation"]) == (str(tmp_path / "train.jsonl"), "dev.jsonl")


def test_a_projection_has_the_width_of_the_original() -> None:
    assert settings(prefix_projection=True)["projection_size"] == 512
    assert settings(prefix_projection=True, prefix_hidden_size=64)["projection_size"] == 64
    assert "projection_size" not in settings(prefix_hidden_size=64)


def test_dropout_is_that_of_the_prefix_the_backbone_and_what_the_head_sees() -> None:
    found = settings(hidden_dropout_prob=0.2)
    assert found["prefix_dropout"] == found["hidden_dropout"] == found["feature_dropout"] == 0.2
    squad = PtuningV2Flags("qa", "squad", prefix=True, hidden_dropout_prob=0.2)
    found = settings_of(squad, {}, {"train": "x.json"})
    assert found["prefix_dropout"] == found["hidden_dropout"] == 0.2
    assert "feature_dropout" not in found  # the original drops nothing there


def test_one_learning_rate_is_that_of_the_head_too() -> None:
    assert settings({"learning_rate": 0.01})["head_learning_rate"] == 0.01
    assert "head_learning_rate" not in settings()
    by_recipe = PtuningV2Flags(recipe="original")
    found = settings_of(by_recipe, load_recipe("original"), {"learning_rate": 0.01})
    assert found["head_learning_rate"] == 0.01
    assert "head_learning_rate" not in settings_of(PtuningV2Flags(), {}, {"learning_rate": 0.01})


def test_epochs_that_were_asked_for_are_neither_more_nor_less() -> None:
    assert settings({"epochs": 3})["min_steps"] == 1
    assert "min_steps" not in settings()


def test_bounds_are_set_where_they_are_ours() -> None:
    found = settings(
        max_eval_samples=5,
        max_predict_samples=6,
        max_answer_length=7,
        null_score_diff_threshold=0.5,
    )
    assert (found["max_validation_rows"], found["max_test_rows"]) == (5, 6)
    assert (found["max_answer_tokens"], found["null_threshold"]) == (7, 0.5)


def test_training_is_what_happens_unless_something_else_is_asked_for() -> None:
    assert PtuningV2Flags().trains
    assert PtuningV2Flags(do_train=True, do_eval=True).trains
    assert not PtuningV2Flags(do_eval=True).trains
    files = {"validation": "dev.jsonl", "test": "test.jsonl"}

    def parts(**modes: Any) -> list[str]:
        return [one.name for one in parts_of(PtuningV2Flags(**modes), "superglue/rte", files)]

    assert parts() == parts(do_train=True, do_eval=True) == []
    assert parts(do_eval=True) == ["validation"]
    assert parts(do_train=True, do_eval=True, do_predict=True) == ["test"]
    assert parts(do_eval=True, do_predict=True) == ["validation", "test"]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_one_that_can_be_trained(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    backbone = recipe.pop("backbone", None)
    assert ("sweep" in recipe) == name.startswith("search_")
    recipe.pop("sweep", None)
    config = TrainConfig(task="a/b", **{"train": tmp_path / "x.jsonl", **recipe})
    assert (backbone is None) == (name in {"default", "original"})
    assert config.dataset == recipe.get("dataset")
    if name == "default":
        assert config == TrainConfig(task="a/b", train=tmp_path / "x.jsonl")


def test_the_recipes_are_those_of_the_scripts() -> None:
    rows = {row[0]: row[1:] for row in recipe_rows()}
    assert len(rows) == 20 + 2 + 1
    assert rows["search_copa_roberta"][2:4] == ("0.005 0.007 0.01", "4 8 16 32 64 128")
    expected = ("superglue/rte", "roberta-large", "0.005", "128", "100", "32")
    assert rows["rte_roberta"] == expected
    assert rows["conll12_bert"][1] == "bert-large-uncased"
    wic = load_recipe("wic_bert")
    assert (wic["projection_size"], wic["template"]) == (512, "{word}: {sentence1}")


def test_the_command_lists_all_recipes() -> None:
    listed = CliRunner().invoke(app, ["recipes"], env={"COLUMNS": "200"}).stdout
    assert all(name in listed for name in recipe_names())


def test_a_recipe_is_asked_for_by_a_name_that_there_is() -> None:
    with pytest.raises(PlanRejected, match="polyprefix recipes"):
        load_recipe("../recipes/default")
