"""Parquet files, folders of `datasets` and its hub: rows with words for labels."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.training.learnable_tasks import make_config
from training.data.parts import load_task
from training.errors import DataRejected
from training.files.row_readers import read_rows

datasets = pytest.importorskip("datasets", reason="needs the extra `data`")

NAMES = ["World", "Sports"]


def labeled(count: int = 8) -> Any:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)}
    )
    rows = {"text": [f"text {n}" for n in range(count)], "label": [n % 2 for n in range(count)]}
    return datasets.Dataset.from_dict(rows, features=features)


def tagged() -> Any:
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-topic"]))
    features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("string"))})
    return datasets.Dataset.from_dict(
        {"tokens": [["the", "film"], ["a", "plot"]], "ner_tags": [[0, 1], [0, 1]]},
        features=datasets.Features({**features, "ner_tags": tags}),
    )


def test_parquet_and_folders_say_labels_in_words(tmp_path: Path) -> None:
    labeled().to_parquet(tmp_path / "rows.parquet")
    labeled().save_to_disk(tmp_path / "rows")
    for path in (tmp_path / "rows.parquet", tmp_path / "rows"):
        file = read_rows(path)
        assert [row.columns for row in file.rows[:2]] == [
            {"text": "text 0", "label": "World"},
            {"text": "text 1", "label": "Sports"},
        ]
        assert file.rows[-1].line == 8
        assert load_task(make_config(path)).labels == ("Sports", "World")


def test_plain_parquet_is_read_as_it_is(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": ["a", "b"], "label": [3, 4]}), tmp_path / "x.parquet")
    assert [row.columns["label"] for row in read_rows(tmp_path / "x.parquet").rows] == [3, 4]


def test_tags_become_words_and_rows_of_a_selection_are_its_own(tmp_path: Path) -> None:
    tagged().select([1]).save_to_disk(tmp_path / "rows")
    (row,) = read_rows(tmp_path / "rows").rows
    assert row.columns == {"tokens": ["a", "plot"], "ner_tags": ["O", "B-topic"]}
    config = make_config(
        tmp_path / "rows",
        validation=tmp_path / "rows",
        task_type="token_classification",
        label_column="ner_tags",
    )
    assert load_task(config).labels == ("O", "B-topic", "I-topic")


def test_hidden_labels_are_missing_labels_with_the_numbers_of_their_rows(tmp_path: Path) -> None:
    table = datasets.Dataset.from_dict(
        {"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=labeled().features
    )
    table.save_to_disk(tmp_path / "rows")
    with pytest.raises(DataRejected, match=r"rows, row 3: 'label': expected a label .* found None"):
        load_task(make_config(tmp_path / "rows"))


def test_the_digest_of_a_folder_is_that_of_its_rows(tmp_path: Path) -> None:
    for name, count in (("one", 8), ("other", 8), ("more", 9)):
        labeled(count).save_to_disk(tmp_path / name)
    one, other, more = (read_rows(tmp_path / name).sha256 for name in ("one", "other", "more"))
    assert one == other != more


def test_a_folder_of_several_splits_asks_for_one(tmp_path: Path) -> None:
    datasets.DatasetDict(train=labeled(), test=labeled(2)).save_to_disk(tmp_path / "all")
    with pytest.raises(DataRejected, match="choose one of its folders, train, test"):
        read_rows(tmp_path / "all")
    assert len(read_rows(tmp_path / "all" / "test").rows) == 2


def test_a_broken_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataRejected, match=r"rows\.parquet: cannot be read as a Parquet file"):
        read_rows(tmp_path / "rows.parquet")


def read_elsewhere(source: str, **environment: str) -> list[str]:
    """Read in a process of its own: the package decides at its import where the hub is."""
    code = (
        "import sys; from training.files.row_readers import read_rows"
        "\nfrom training.sources import parse_source"
        "\nfrom training.errors import TrainingError"
        "\ntry: print(len(read_rows(parse_source(sys.argv[1])).rows))"
        "\nexcept TrainingError as error: print(error)"
    )
    variables: Mapping[str, str] = {**os.environ, **environment}
    result = subprocess.run(
        [sys.executable, "-c", code, source],
        check=True,
        capture_output=True,
        text=True,
        env=dict(variables),
        cwd=Path(__file__).parents[3],
    )
    return result.stdout.splitlines()


def test_a_data_set_is_loaded_as_from_the_hub(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    labeled(5).to_parquet(tmp_path / "set" / "train.parquet")
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    assert read_elsewhere(f"hub:{tmp_path / 'set'}::train", **home) == ["5"]
    (message,) = read_elsewhere(f"hub:{tmp_path / 'set'}::nothing", **home)[1:]
    assert "::nothing: cannot be loaded: " in message


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param(
            {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached", id="nobody listens"
        ),
        pytest.param({"HF_HUB_OFFLINE": "1"}, "cannot be loaded", id="told to stay offline"),
    ],
)
def test_a_hub_out_of_reach_is_told_in_a_sentence(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    variables = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", **environment}
    first, message = read_elsewhere("hub:no_such_set::train", **variables)
    assert first == "The data has 1 problem(s):"
    assert "hub:no_such_set::train" in message
    assert expected in message


def test_without_the_package_its_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['datasets'] = None"
        "\nfrom pathlib import Path; from training.files.row_readers import read_rows"
        "\ntry: read_rows(Path(sys.argv[1]))"
        "\nexcept Exception as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert "polyprefix[data]" in result.stdout
