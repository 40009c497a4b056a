"""Plain rows of published sets, as users keep them: whole files, where they are at hand."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.training.learnable_tasks import write_jsonl
from training.data.parts import load_task
from training.datasets import DATASETS
from training.settings.config import TrainConfig

DATA: Final = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("name", "folder", "num_labels"),
    [
        ("superglue/boolq", "boolq", 2),
        ("superglue/cb", "cb", 3),
        ("superglue/rte", "rte", 2),
        ("superglue/wic", "wic", 2),
        ("superglue/wsc", "wsc", 2),
        ("superglue/copa", "copa", 0),
        ("glue/cola", "cola", 2),
        ("glue/mrpc", "mrpc", 2),
        ("ner/conll2004", "conll04", 9),
        ("qa/squad", "squad_small", 0),
    ],
)
def test_every_row_of_a_plain_file_is_one_of_the_set(
    name: str, folder: str, num_labels: int
) -> None:
    files = {part: DATA / folder / f"{part}.jsonl" for part in ("train", "validation")}
    if not files["train"].is_file():
        pytest.skip("the shared data are not here")
    data = load_task(TrainConfig(task="a/b", dataset=name, **files))
    lines = {
        part: path.read_text(encoding="utf-8").rstrip("\n").count("\n") + 1
        for part, path in files.items()
    }
    assert {part: len(data.parts[part]) for part in files} == lines
    assert len(data.labels) == num_labels
    assert all(data.template.render(fields) for fields in data.validation.inputs)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("superglue/copa", {"premise": "x", "connective": "so", "choices": ["a", "b"]}),
        ("superglue/wsc", {"marked_text": "x *it*", "span1_text": "x"}),
        ("superglue/record", {"passage": "x", "query": "y"}),
        ("srl/conll2005", {"text": "x y", "predicate": "y"}),
        ("ner/ontonotes", {"text": "x y"}),
        ("qa/squad", {"question": "x", "context": "y"}),
    ],
)
def test_rows_with_the_fields_of_a_request_are_taken_as_they_are(
    name: str, row: dict[str, Any], tmp_path: Path
) -> None:
    (found,) = DATASETS[name].read(write_jsonl(tmp_path / "rows.jsonl", [row])).rows
    assert found.columns == row
