"""Where rows come from: files, folders and data sets of the hub, as one text each."""

from pathlib import Path

import pytest

from tests.training.learnable_tasks import make_config
from training.settings.config import TrainConfig
from training.settings.plan import load_plan
from training.sources import HubSource, parse_source


def test_a_source_is_a_path_or_names_a_split_of_the_hub() -> None:
    assert parse_source("data/rows.csv") == Path("data/rows.csv")
    assert parse_source("hub:ag_news::train") == HubSource("ag_news", "", "train")
    source = parse_source("hub:nyu-mll/glue:rte:validation")
    assert source == HubSource("nyu-mll/glue", "rte", "validation")
    assert source.name == str(source) == "hub:nyu-mll/glue:rte:validation"


@pytest.mark.parametrize("text", ["hub:", "hub:ag_news", "hub:ag_news:", "hub:a:b:c:d", "hub::c:d"])
def test_half_a_name_is_refused_with_the_form_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected hub:PATH:CONFIG:SPLIT"):
        parse_source(text)


def test_a_source_is_written_as_it_is_read() -> None:
    config = make_config(Path("rows.csv"), validation="hub:ag_news::test")
    again = TrainConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.validation == HubSource("ag_news", "", "test")


def test_files_of_a_plan_are_relative_to_it_and_data_sets_of_the_hub_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        '[[task]]\ntask = "acme/x"\ntrain = "hub:ag_news::train"\ntest = "rows.csv"\n',
        encoding="utf-8",
    )
    (run,) = load_plan(path, plan={}, run={}).runs
    assert run.train == HubSource("ag_news", "", "train")
    assert run.test == tmp_path / "rows.csv"
