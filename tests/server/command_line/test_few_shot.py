"""`train` with few or no rows: flags, files of labels, and what is printed."""

import json
from pathlib import Path

import pytest

from prefixes import Prefix
from prefixes.names import PrefixRef
from prefixes.registry import open_registry
from server.command_line.exit_codes import ExitCode
from server.command_line.label_names import label_settings
from tests.server.command_line.caller import call
from tests.training.learnable_tasks import sentiment_rows, write_jsonl
from training.errors import PlanRejected


def test_labels_alone_are_trained_published_and_used(backbone_folder: Path, tmp_path: Path) -> None:
    place = ("--backbone", backbone_folder, "--device", "cpu")
    output, store = tmp_path / "output", tmp_path / "store"
    labels = ("--labels", "good film, bad river, Übriges")
    done = call(
        *("train", "acme/triage", *labels, *place, "--output", output),
        *("--publish", store, "--alias", "live"),
    )
    assert done.code == 0, done.error
    assert "Published acme/triage@1" in done.error
    assert sorted(path.name for path in output.iterdir()) == ["prefix.safetensors", "report.json"]
    registry = open_registry(store)
    assert registry.version(PrefixRef.parse("acme/triage:live"), reader="acme").number == 1
    registry.close()
    texts = write_jsonl(tmp_path / "texts.jsonl", [{"text": "This text is about bad river."}])
    answered = call("predict", output / "prefix.safetensors", texts, *place)
    assert json.loads(answered.output)["label"] == "bad river"


def test_few_rows_are_described_and_their_figure_is_marked(
    backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(14))
    output = tmp_path / "output"
    place = ("--backbone", backbone_folder, "--device", "cpu", "--output", output)
    done = call("train", "acme/mood", "--train", rows, *place)
    assert done.code == 0, done.error
    assert "train: 14 rows of rows.jsonl; text from column 'text'" in done.error
    assert "(rows left out)" in done.error
    assert Prefix.load(output / "prefix.safetensors").spec.method == "head"
    assert (output / "confusion.png").exists()
    assert not (output / "curve.png").exists()


def test_mistakes_name_what_to_do(backbone_folder: Path, tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"text": "a film", "label": "goood"}])
    place = ("--backbone", backbone_folder, "--device", "cpu", "--output", tmp_path / "output")

    def refusal(*flags: object) -> str:
        done = call("train", "acme/mood", *flags, *place)
        assert done.code == ExitCode.INVALID_INPUT, done.error
        assert "Traceback" not in done.error
        return done.error

    assert "expected at least two, found one" in refusal("--labels", "good")
    assert "'good' occurs more than once" in refusal("--labels", "good,bad,good")
    assert "label 2 of 3 is empty" in refusal("--labels", "good,,bad")
    assert "the label 'goood' is not one of" in refusal("--labels", "good,bad", "--train", rows)
    assert "cannot read the file" in refusal("--labels", tmp_path / "none.txt")
    assert "no training rows" in refusal("--labels", "good,bad", "--method", "prefix")
    assert "Remove --num-processes" in refusal("--labels", "good,bad", "--num-processes", "2")
    assert not (tmp_path / "output").exists()


def test_a_file_lists_names_with_commas(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffrefund, exchange\n\n退款\n", encoding="utf-8")
    assert label_settings(str(path)) == {"labels": ["refund, exchange", "退款"]}


def test_a_file_describes_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"NUM": "a number, or a date", "LOC": ""}), encoding="utf-8")
    assert label_settings(str(path)) == {
        "labels": ["NUM", "LOC"],
        "label_descriptions": {"NUM": "a number, or a date"},
    }
    path.write_text(json.dumps(["a, b", "c"]), encoding="utf-8")
    assert label_settings(str(path)) == {"labels": ["a, b", "c"]}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="not-json"),
        pytest.param("[]", id="no-names"),
        pytest.param("[1, 2]", id="numbers"),
        pytest.param('{"a": 1}', id="numbers-as-descriptions"),
        pytest.param('"a"', id="a-text"),
    ],
)
def test_a_damaged_file_of_labels_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PlanRejected, match=r"labels\.json"):
        label_settings(str(path))


def test_hundreds_of_labels_are_read() -> None:
    assert (
        len(label_settings(",".join(f"label {number}" for number in range(500)))["labels"]) == 500
    )
