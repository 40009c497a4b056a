"""`train`, `evaluate` and `predict`: the files they write, and the errors they report."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner, Result

from prefixes import Prefix, PrefixRef
from prefixes.registry import open_registry
from prefixes.spec import LongTexts
from server.command_line import training_run
from server.command_line.exit_codes import ExitCode
from server.command_line.main import app
from server.command_line.progress_bars import TrainingProgress
from tests.training.learnable_tasks import (
    ROWS_OF,
    pair_rows,
    sentiment_rows,
    write_csv,
    write_jsonl,
)
from training.learning.run import Run

QUICK = [
    *("--prefix-length", "4", "--max-length", "32", "--batch-size", "8", "--epochs", "4"),
    *(
        "--set",
        "min_steps=1",
        "--set",
        "initialization=noise",
        "--learning-rate",
        "0.05",
        "--head-learning-rate",
        "0.05",
        "--device",
        "cpu",
    ),
]


@pytest.fixture
def run() -> "CliCaller":
    return CliCaller()


class CliCaller:
    """Calls commands in this process."""

    def __call__(self, *arguments: object) -> str:
        result = self.end(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def end(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def refusal(self, *arguments: object, code: ExitCode = ExitCode.INVALID_INPUT) -> str:
        result = self.end(*arguments)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return " ".join(result.stderr.split())


def test_a_task_is_trained_published_measured_and_used(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(96))
    test = write_csv(tmp_path / "test.csv", sentiment_rows(20, seed=5))
    output, store = tmp_path / "output", tmp_path / "store"
    run(
        *("train", "acme/mood", "--train", rows, "--test", test, "--backbone", backbone_folder),
        *("--validation", test, "--output", output, "--publish", store, "--alias", "live"),
        *(*QUICK, "--epochs", "8"),
        *("--set", "feature_dropout=0.05", "--set", "description=moods"),
    )
    assert sorted(path.name for path in output.iterdir()) == [
        "confusion.png",
        "curve.png",
        "prefix.safetensors",
        "report.json",
    ]
    registry = open_registry(store)
    assert registry.version(PrefixRef.parse("acme/mood:live"), reader="acme").number == 1
    registry.close()
    spec = Prefix.load(output / "prefix.safetensors").spec
    assert spec.description == "moods"

    place = ("--backbone", backbone_folder, "--device", "cpu")
    figures = json.loads(run("evaluate", output / "prefix.safetensors", test, *place, "--json"))
    assert figures["metrics"]["accuracy"] == spec.metrics["test_accuracy"] == 1.0
    assert figures["rows"] == 20
    table = run("evaluate", output / "prefix.safetensors", test, *place)
    assert "accuracy" in table
    assert "predicted" in table

    int8 = (*place, "--quantize", "int8")
    figures = json.loads(run("evaluate", output / "prefix.safetensors", test, *int8, "--json"))
    assert figures["precision"] == "int8"
    assert figures["float32"]["accuracy"] == 1.0
    assert figures["difference"]["accuracy"] == figures["metrics"]["accuracy"] - 1.0
    assert 0 <= figures["changed_answers"] <= 1
    table = run("evaluate", output / "prefix.safetensors", test, *int8)
    assert "changed answers" in table
    assert "float32" in table

    answers = run("predict", output / "prefix.safetensors", test, *place).splitlines()
    labels = [row["label"] for row in sentiment_rows(20, seed=5)]
    assert [json.loads(line)["label"] for line in answers] == labels
    run("predict", output / "prefix.safetensors", test, *place, "-o", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines() == answers
    explained = run("predict", output / "prefix.safetensors", test, *place, "--explain")
    for line, answer in zip(explained.splitlines(), answers, strict=True):
        row = json.loads(line)
        explanation = row.pop("explanation")
        assert row == json.loads(answer)
        assert explanation["label"] == row["label"]
        assert " ".join(part["text"] for part in explanation["parts"]) == row["text"]


def test_a_task_is_trained_for_long_texts_and_measured_either_way(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = [{**row, "text": f"{row['text']} . " * 4} for row in sentiment_rows(64)]
    data, output = write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "output"
    place = ("--backbone", backbone_folder, "--device", "cpu")
    windows = ("--long-texts", "windows", "--stride", "2", "--merge", "max")
    more = ("--set", "max_windows=9", "--max-length", "12")

    run("train", "acme/mood", "--train", data, "--output", output, *place, *QUICK, *windows, *more)

    file = output / "prefix.safetensors"
    rule = LongTexts(stride=2, merge="max", max_windows=9)
    decisions = Prefix.load(file).spec.decisions
    assert decisions is not None
    assert decisions.long_texts == rule
    figures = [
        json.loads(run("evaluate", file, data, *place, "--json", *options))["metrics"]
        for options in ((), ("--long-text", "windows"), ("--long-text", "truncate"))
    ]
    assert figures[0] == figures[1] != figures[2]
    answers = [
        run("predict", file, data, *place, *options)
        for options in ((), ("--long-text", "truncate"))
    ]
    assert answers[0] != answers[1]
    message = run.refusal("predict", file, data, *place, "--long-text", "cut")
    assert "Invalid --long-text 'cut': use truncate or windows." in message


@pytest.mark.parametrize(
    ("kind", "options", "answer", "metric"),
    [
        pytest.param("token_classification", (), "entities", "entity_f1", id="entities"),
        pytest.param(
            "question_answering", ("--set", "stride=4"), "answer", "exact_match", id="answers"
        ),
        pytest.param(
            "multiple_choice",
            ("--set", "template={text}", "--set", "pair_template={choice} now"),
            "chosen",
            "accuracy",
            id="choices",
        ),
        pytest.param("embedding", (), "embedding", "recall_at_1", id="embedding"),
        pytest.param("token_classification", ("--prompt",), "entities", "entity_f1", id="prompt"),
        pytest.param(
            "multiple_choice",
            ("--method", "head", "--prefix-length", "0"),
            "chosen",
            "accuracy",
            id="head",
        ),
    ],
)
def test_every_type_of_task_is_trained_measured_and_used(
    run: CliCaller,
    backbone_folder: Path,
    tmp_path: Path,
    kind: str,
    options: tuple[str, ...],
    answer: str,
    metric: str,
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS_OF[kind](40))
    test = write_jsonl(tmp_path / "test.jsonl", ROWS_OF[kind](12))
    output = tmp_path / "output"
    place = ("--backbone", backbone_folder)
    run(
        *("train", "acme/task", "--task-type", kind, "--train", rows, "--test", test, *place),
        *("--output", output, *QUICK, "--epochs", "2", *options),
    )
    file = output / "prefix.safetensors"
    spec = Prefix.load(file).spec
    assert spec.method == {"--prompt": "prompt", "--method": "head"}.get(
        "".join(options[:1]), "prefix"
    )
    figures = json.loads(run("evaluate", file, test, *place, "--device", "cpu", "--json"))
    assert figures["metrics"][metric] == spec.metrics[f"test_{metric}"]
    assert metric in run("evaluate", file, test, *place, "--device", "cpu")
    lines = run("predict", file, test, *place, "--device", "cpu").splitlines()
    assert len(lines) == 12
    assert all(answer in json.loads(line) for line in lines)
    refused = run.refusal("predict", file, test, *place, "--explain")
    assert f"is of the type {kind}" in refused
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["data"]["rows"] == {"train": 36, "validation": 4, "test": 12}
    assert report["num_parameters"]["stored"] == report["num_parameters"]["trained"]


def test_a_training_makes_vectors_by_default(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(40))
    place = ("--backbone", backbone_folder, "--device", "cpu")
    settings = ("--max-length", "32", "--max-steps", "20", "--learning-rate", "0.05")
    output = tmp_path / "output"
    run("train", "acme/task", "--train", rows, *settings, *place, "--output", output)
    file = output / "prefix.safetensors"
    prefix = Prefix.load(file)
    assert (prefix.spec.method, prefix.spec.prefix_length) == ("vectors", 0)
    assert prefix.tensors["norms.scales"].any()
    figures = json.loads(run("evaluate", file, rows, *place, "--json"))
    assert "accuracy" in figures["metrics"]
    refused = run.refusal("export", "peft", file, tmp_path / "peft", *place[:2])
    assert "it has vectors, which PEFT does not read: train with method prefix" in refused


def test_labels_that_look_like_markup_are_printed_as_they_are(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    names = {"good": "[/b]", "bad": ":x:"}
    rows = [{**row, "label": names[row["label"]]} for row in sentiment_rows(40)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    place = ("--backbone", backbone_folder, "--device", "cpu")
    output = tmp_path / "output"
    run(*("train", "acme/x", "--train", path, "--output", output, *QUICK, *place))
    shown = run("evaluate", output / "prefix.safetensors", path, *place)
    assert "[/b]" in shown
    assert ":x:" in shown


def test_one_task_is_searched_from_the_command_line(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(48))
    output, store = tmp_path / "output", tmp_path / "store"
    command = ("train", "acme/mood", "--train", rows, "--backbone", backbone_folder, *QUICK)
    run(
        *(*command, "--epochs", "1", "--output", output, "--publish", store),
        *("--sweep", "learning_rate=1e-3..5e-2", "--sweep", "prefix_length=2,4", "--trials", "3"),
    )
    found = json.loads((output / "sweep.json").read_text(encoding="utf-8"))
    assert found["space"] == {
        "learning_rate": {"low": 1e-3, "high": 5e-2, "log": True, "step": None},
        "prefix_length": [2, 4],
    }
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    registry = open_registry(store)
    published = registry.version(PrefixRef.parse("acme/mood"), reader="acme").digest
    registry.close()
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert published == report["file"]["sha256"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--sweep", "learning_rate"], "expected NAME=LOW..HIGH"),
        (["--sweep", "learning_rate=low..high"], "expected two numbers"),
        (["--sweep", "prefix_length=8..2"], "low must be below high"),
        (["--trials", "3"], "Name a field to search with --sweep"),
    ],
)
def test_a_search_that_cannot_be_read_is_refused(
    run: CliCaller, tmp_path: Path, flags: list[str], complaint: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(12))
    assert complaint in run.refusal("train", "acme/mood", "--train", rows, *flags)


def test_a_plan_trains_a_grid_and_publishes_the_best_of_each_task(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "mood.jsonl", sentiment_rows(96))
    write_jsonl(tmp_path / "denial.jsonl", pair_rows(96))
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""
        backbone = "{backbone_folder}"
        device = "cpu"
        [defaults]
        prefix_length = 4
        max_length = 32
        batch_size = 8
        head_learning_rate = 0.05
        [[task]]
        task = "acme/mood"
        train = "mood.jsonl"
        [[task]]
        task = "acme/denial"
        train = "denial.jsonl"
        [grid]
        learning_rate = [1e-9, 0.05]
        """,
        encoding="utf-8",
    )
    output, store = tmp_path / "output", tmp_path / "store"
    run("train", plan, "--output", output, "--publish", store, "--epochs", "3")
    reports = sorted(path.relative_to(output).parent for path in output.rglob("report.json"))
    assert [str(report) for report in reports] == [
        "acme/denial/learning_rate=0.05",
        "acme/denial/learning_rate=1e-09",
        "acme/mood/learning_rate=0.05",
        "acme/mood/learning_rate=1e-09",
    ]
    assert (output / "overview.png").stat().st_size > 1000
    registry = open_registry(store)
    for task in ("acme/mood", "acme/denial"):
        found = registry.version(PrefixRef.parse(task), reader="acme")
        merits = {}
        for report in output.glob(f"{task}/*/report.json"):
            content = json.loads(report.read_text(encoding="utf-8"))
            merits[content["file"]["sha256"]] = content["validation"]["metrics"]["accuracy"]
        assert merits[found.digest] == max(merits.values())
    registry.close()


def test_a_report_tells_what_was_given_and_what_came_of_it(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(50))
    place = ("--backbone", backbone_folder, "--output", tmp_path / "output")
    run("train", "acme/mood", "--train", rows, *place, *QUICK)
    report = json.loads((tmp_path / "output" / "report.json").read_text(encoding="utf-8"))
    file = (tmp_path / "output" / "prefix.safetensors").read_bytes()
    assert report["data"]["rows"] == {"train": 45, "validation": 5}
    assert sum(report["data"]["train_rows_by_label"].values()) == 45
    assert report["config"]["epochs"] == 4
    assert [one["step"] for one in report["history"]] == [6, 12, 18, 24]
    assert report["best"] in report["history"]
    assert report["timing"]["num_rows"] == 180
    assert report["file"]["bytes"] == len(file)
    assert report["test"] is None
    prefix = Prefix.from_bytes(file)
    kv, labels = prefix.tensors["prefix.keys"].size + prefix.tensors["prefix.values"].size, 2
    assert report["num_parameters"]["stored"] == kv + labels * (
        prefix.spec.backbone.hidden_size + 1
    )


def test_mistakes_are_told_in_a_sentence(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    broken = write_jsonl(tmp_path / "broken.jsonl", [{"text": "", "label": "x"}])
    output = ("--output", tmp_path / "output")
    place = ("--backbone", backbone_folder, *output)
    ask = run.refusal
    assert "no training rows: set --train" in ask("train", "acme/x", *output)
    assert "TENANT/TASK" in ask("train", "x", "--train", rows, *output)
    assert ask("train", "acme/x", "--train", rows, "--set", "foo=1", *output).endswith(
        "runs.0.foo: is not a setting"
    )
    assert "runs.0.epoch: is not a setting; did you mean 'epochs'?" in ask(
        "train", "acme/x", "--train", rows, "--set", "epoch=1", *output
    )
    assert "NAME=VALUE" in ask("train", "acme/x", "--train", rows, "--set", "foo", *output)
    assert "an empty text" in ask("train", "acme/x", "--train", broken, *place)
    assert "Cannot read the plan" in ask("train", tmp_path / "none.toml", *output)
    assert "does not fit the backbone" in ask(
        "train", "acme/x", "--train", rows, *place, "--max-length", "999"
    )
    assert "could not be loaded" in ask(
        "train", "acme/x", "--train", rows, *output, "--backbone", tmp_path
    )
    assert "Publishing to" in ask(
        *("train", "acme/x", "--train", rows, *place, "--publish", rows), code=ExitCode.FAILURE
    )
    assert "No such file" in ask("evaluate", tmp_path / "none", rows, "--backbone", backbone_folder)
    assert "file" in ask("predict", rows, rows, "--backbone", backbone_folder)
    assert "int8 has no gradients" in ask(
        "train", _plan_in_int8(tmp_path, rows), *output, "--backbone", backbone_folder
    )
    assert not (tmp_path / "output" / "prefix.safetensors").exists()


def _plan_in_int8(folder: Path, rows: Path) -> Path:
    path = folder / "plan.toml"
    path.write_text(f'quantize = "int8"\n[[task]]\ntask = "acme/x"\ntrain = "{rows}"\n')
    return path


@pytest.fixture
def mood(backbone_folder: Path, tmp_path: Path) -> list[object]:
    """Return the command line of a training of twelve steps into the folder `output`."""
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(48))
    place = ("--backbone", backbone_folder, "--output", tmp_path / "output")
    return ["train", "acme/mood", "--train", rows, *place, *QUICK, "--epochs", "2"]


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, *signals: signal.Signals) -> list[int]:
    """Send signals to this process at a step; return the list that records all steps."""
    seen: list[int] = []

    def show(_: object, runs: Sequence[Run]) -> None:
        seen.append(runs[0].step)
        if runs[0].step == step and seen.count(step) == 1:
            for one in signals:
                signal.raise_signal(one)

    monkeypatch.setattr(TrainingProgress, "show", show)
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_learnt_until_a_signal_is_saved(
    run: CliCaller,
    mood: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    seen = signal_at(monkeypatch, 3, number)
    stopped = run.end(*mood)
    assert stopped.exit_code == 130
    assert "Stopped. Add --resume to the same command to continue." in stopped.stderr
    assert seen == [0, 1, 2, 3]
    assert (tmp_path / "output" / "checkpoint.pt").exists()
    resumed = run.end(*mood, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert seen[4:] == list(range(3, 13))
    assert "has no checkpoint" not in resumed.stderr


def test_a_second_interrupt_ends_at_once_and_a_termination_after_one_does_not(
    run: CliCaller, mood: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at(monkeypatch, 1, signal.SIGINT, signal.SIGINT)
    assert run.end(*mood).stderr.endswith("polyprefix: Stopped.\n")
    assert not (tmp_path / "output" / "checkpoint.pt").exists()
    signal_at(monkeypatch, 1, signal.SIGINT, signal.SIGTERM)
    assert "Add --resume" in run.end(*mood).stderr
    assert (tmp_path / "output" / "checkpoint.pt").exists()


def test_resuming_where_there_is_no_checkpoint_says_that_it_begins_anew(
    run: CliCaller, mood: list[object]
) -> None:
    begun = run.end(*mood, "--resume")
    assert begun.exit_code == 0, begun.output
    assert "has no checkpoint: training starts from the beginning" in " ".join(begun.stderr.split())


def test_interrupted_fine_tuning_has_the_exit_code_of_an_interrupted_training(
    run: CliCaller, mood: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "tune_plan", interrupted)
    full = (*mood[:6], "--method", "full", "--output", "out")
    stopped = run.end(*full)
    assert stopped.exit_code == ExitCode.INTERRUPTED
    assert "has no checkpoint to continue from" in stopped.stderr


def test_a_teacher_is_trained_first_and_compared_with_the_prefix(
    run: CliCaller, backbone_folder: Path, tmp_path: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(60))
    more = write_csv(tmp_path / "more.csv", [{"text": f"film {n}"} for n in range(9)])
    folder = tmp_path / "output"
    done = run.end(
        *("train", "acme/mood", "--train", rows, "--unlabelled", more, "--teacher", "full"),
        *("--teacher-weight", "0.8", "--teacher-temperature", "3", *QUICK),
        *("--set", "teacher_learning_rate=2e-3", "--backbone", backbone_folder),
        *("--output", folder),
    )
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "acme/mood/teacher: all steps were taken" in said
    assert "acme/mood: its teacher reached accuracy" in said
    assert "acme/mood: accuracy on the validation rows: teacher" in said
    assert "unlabeled: 9 rows of more.csv" in said
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["config"]["teacher_weight"] == 0.8
    assert report["teacher"]["num_unlabeled_rows"] == 9
    assert {path.name for path in folder.iterdir()} == {
        *("prefix.safetensors", "report.json", "curve.png", "confusion.png")
    }
