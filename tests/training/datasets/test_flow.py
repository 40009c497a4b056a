"""The whole flow of P-tuning v2's run.py by command: train, measure and predict a named set."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prefixes import Prefix
from server.command_line.main import app
from tests.training.datasets.samples import write_set
from training.datasets import DATASETS

QUICK = (
    *("--prefix", "--pre_seq_len", "4", "--num_train_epochs", "1", "--learning_rate", "0.05"),
    *("--per_device_train_batch_size", "8", "--max_seq_length", "48", "--seed", "11"),
    *("--device", "cpu", "--set", "initialization=noise"),
)


class Flow:
    """The command as the program has it, with one backbone and one output folder."""

    def __init__(self, backbone: Path, output: Path) -> None:
        self._backbone = backbone
        self.output = output

    def __call__(self, *arguments: object) -> None:
        result = self._invoke(*arguments)
        assert result.exit_code == 0, result.output

    def refusal(self, *arguments: object) -> str:
        result = self._invoke(*arguments)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        return " ".join(result.stderr.split())

    def _invoke(self, *arguments: object) -> Any:
        place = ("--model_name_or_path", self._backbone, "--output_dir", self.output)
        return CliRunner().invoke(app, [str(x) for x in ("train", *arguments, *place)])

    def json(self, name: str) -> Any:
        return json.loads((self.output / name).read_text(encoding="utf-8"))

    def lines(self, name: str) -> list[dict[str, Any]]:
        text = (self.output / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def flow(backbone_folder: Path, tmp_path: Path) -> Flow:
    return Flow(backbone_folder, tmp_path / "output")


def named(name: str) -> tuple[str, ...]:
    family, _, dataset = name.partition("/")
    return ("--task_name", family, "--dataset_name", dataset)


@pytest.mark.parametrize(
    ("name", "metric", "answer"),
    [
        *(
            pytest.param(f"superglue/{task}", "accuracy", "label", id=task)
            for task in ("boolq", "cb", "rte", "wic", "wsc")
        ),
        pytest.param("superglue/copa", "accuracy", "chosen", id="copa"),
        pytest.param("superglue/multirc", "f1", "label", id="multirc"),
        pytest.param("superglue/record", "query_f1", "label", id="record"),
        pytest.param("glue/cola", "matthews", "label", id="cola"),
        pytest.param("glue/stsb", "pearson", "score", id="stsb"),
        pytest.param("ner/conll2003", "entity_f1", "entities", id="conll2003"),
        pytest.param("ner/ontonotes", "entity_f1", "entities", id="ontonotes"),
        pytest.param("srl/conll2005", "role_f1", "entities", id="conll2005"),
        pytest.param("qa/squad", "exact_match", "best", id="squad"),
        pytest.param("qa/squad_v2", "f1", "best", id="squad_v2"),
    ],
)
def test_a_set_is_trained_measured_and_predicted_by_its_name(
    name: str, metric: str, answer: str, flow: Flow, tmp_path: Path
) -> None:
    data = write_set(tmp_path / "data", *name.split("/"))
    place = (*named(name), "--data_dir", data)
    flow(*place, *QUICK)
    report = flow.json("report.json")
    assert report["run"] == f"local/{name.replace('/', '-')}"
    assert report["config"]["dataset"] == name
    trained = report["validation"]["metrics"]
    assert -1 <= trained[metric] <= 1

    flow(*place, "--do_eval", "--device", "cpu")
    measured = flow.json("eval_results.json")
    assert measured[metric] == pytest.approx(trained[metric])
    assert measured["rows"] == report["data"]["rows"]["validation"]

    has_tests = any(part.startswith("test") for part in DATASETS[name].local_files(data))
    dev = DATASETS[name].local_files(data)["validation"]
    more = () if has_tests else ("--test_file", dev)
    flow(*place, *more, "--do_predict", "--max_predict_samples", "3", "--device", "cpu")
    for part in DATASETS[name].tests:
        predicted = flow.lines(f"{part}_predictions.jsonl")
        assert len(predicted) == 3
        assert all(answer in line for line in predicted)
    # SuperGLUE does not tell what is true of its test rows.
    assert (flow.output / "predict_results.json").exists() == (not name.startswith("superglue"))


def test_test_rows_are_predicted_right_after_a_training(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "ner", "conll2004")
    flow(*named("ner/conll2004"), "--data_dir", data, *QUICK, "--do_train", "--do_predict")
    assert len(flow.lines("test_predictions.jsonl")) == 8
    assert flow.json("predict_results.json")["test"]["rows"] == 8
    assert flow.json("report.json")["test"] is None
    assert not (flow.output / "eval_results.json").exists()  # the report has it


def test_predictions_carry_the_numbers_of_the_set(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "superglue", "rte")
    flow(*named("superglue/rte"), "--data_dir", data, *QUICK, "--do_train", "--do_predict")
    assert [line["idx"] for line in flow.lines("test_predictions.jsonl")] == [0, 1, 2, 3]
    labels = {line["label"] for line in flow.lines("test_predictions.jsonl")}
    assert labels <= {"entailment", "not_entailment"}


def test_a_query_is_answered_with_the_surest_of_its_candidates(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "superglue", "record")
    flow(*named("superglue/record"), "--data_dir", data, *QUICK, "--do_train", "--do_predict")
    lines, answers = (flow.lines(f"test_{kind}.jsonl") for kind in ("predictions", "answers"))
    assert [one["idx"] for one in answers] == [{"passage": n, "query": n} for n in range(4)]
    for answer, pair in zip(answers, zip(lines[::2], lines[1::2], strict=True), strict=True):
        surest = max(pair, key=lambda line: line["scores"]["1"])
        assert answer["score"] == surest["scores"]["1"]
        assert surest["query"].endswith(answer["label"])


def test_a_plan_names_sets_too(flow: Flow, tmp_path: Path) -> None:
    for task in ("sst2", "rte"):
        write_set(tmp_path / task, "glue", task)
    plan = tmp_path / "plan.toml"
    tables = [
        f'[[task]]\ntask = "acme/{task}"\ndataset = "glue/{task}"\n'
        f'train = "{task}/train.tsv"\nvalidation = "{task}/dev.tsv"\n'
        for task in ("sst2", "rte")
    ]
    quick = "[defaults]\nmax_length = 48\nmin_steps = 1\nepochs = 1\ninitialization = 'noise'\n"
    plan.write_text('device = "cpu"\n' + quick + "".join(tables), encoding="utf-8")
    flow(plan)
    labels = [
        Prefix.load(flow.output / f"acme/{task}/prefix.safetensors").spec.labels
        for task in ("sst2", "rte")
    ]
    assert labels == [("negative", "positive"), ("entailment", "not_entailment")]


def test_as_many_answers_are_written_as_were_asked_for(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "qa", "squad")
    dev = DATASETS["qa/squad"].local_files(data)["validation"]
    place = (*named("qa/squad"), "--data_dir", data, "--test_file", dev)
    flow(*place, *QUICK, "--do_train", "--do_predict", "--n_best_size", "2")
    lines = flow.lines("test_predictions.jsonl")
    assert [len(line["best"]) for line in lines] == [2] * 4
    assert all(line["best"][0]["text"] == line["answer"] for line in lines)


def test_a_prefix_reads_its_sets_files_in_the_other_commands_too(
    flow: Flow, backbone_folder: Path, tmp_path: Path
) -> None:
    data = write_set(tmp_path / "data", "superglue", "wic")
    flow(*named("superglue/wic"), "--data_dir", data, *QUICK, "--template_id", "1")
    file = flow.output / "prefix.safetensors"
    assert Prefix.load(file).spec.input.text_pair == "{word}: {sentence2}"
    place = ("--backbone", str(backbone_folder), "--device", "cpu", "--json")
    result = CliRunner().invoke(app, ["evaluate", str(file), str(data / "val.jsonl"), *place])
    assert result.exit_code == 0, result.output
    expected = flow.json("report.json")["validation"]["metrics"]["accuracy"]
    assert json.loads(result.stdout)["metrics"]["accuracy"] == pytest.approx(expected)


def test_a_recipe_trains_as_its_script_did_and_flags_come_first(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "ner", "conll2003")
    quick = ("--num_train_epochs", "2", "--device", "cpu", "--max_seq_length", "48")
    flow("acme/names", "--recipe", "conll03_roberta", "--data_dir", data, *quick)
    report = flow.json("report.json")
    assert report["run"] == "acme/names"
    config = report["config"]
    assert (config["prefix_length"], config["seed"], config["epochs"]) == (11, 11, 2)
    assert (config["learning_rate"], config["head_learning_rate"]) == (0.03, 0.03)
    assert config["schedule"] == "exponential_per_epoch"


def test_a_head_alone_is_trained_on_a_set_by_its_name(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "superglue", "rte")
    steps = QUICK[3:-2]  # no prefix, its length, or what it begins as
    flow(*named("superglue/rte"), "--data_dir", data, *steps, "--method", "head")
    prefix = Prefix.load(flow.output / "prefix.safetensors")
    assert (prefix.spec.method, prefix.spec.prefix_length) == ("head", 0)


@pytest.mark.parametrize(
    ("name", "method"), [("superglue/rte", "full"), ("srl/conll2005", "full"), ("qa/squad", "head")]
)
def test_without_prefix_and_prompt_the_original_tunes_all_or_a_head(
    name: str, method: str, flow: Flow, tmp_path: Path
) -> None:
    data = write_set(tmp_path / "data", *name.split("/"))
    steps = [x for x in QUICK[3:-2] if x not in {"--learning_rate", "0.05"}]
    flow(*named(name), "--data_dir", data, *steps)
    assert flow.json("report.json")["config"]["method"] == method
    made = "model/model.safetensors" if method == "full" else "prefix.safetensors"
    assert (flow.output / made).is_file()
    if method == "full":
        refusal = flow.refusal(*named(name), "--data_dir", data, "--do_eval")
        assert "holds a whole model, of method 'full'" in refusal


def test_flags_of_a_prefix_file_are_refused_for_a_whole_model(flow: Flow, tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", "superglue", "rte")
    place = (*named("superglue/rte"), "--data_dir", data, *QUICK[3:-2])
    for flags in (["--resume"], ["--publish", "store"], ["--num-processes", "2"]):
        assert f"Remove {flags[0]}" in flow.refusal(*place, *flags)
    assert "Remove --do-predict" in flow.refusal(*place, "--do_train", "--do_predict")
    assert not flow.output.exists()


def test_what_does_not_fit_the_backbone_is_told_before_anything_is_trained(
    flow: Flow, tmp_path: Path
) -> None:
    data = write_set(tmp_path / "data", "ner", "conll2003")
    long = ("--pre_seq_len", "300", "--max_seq_length", "30")
    refusal = flow.refusal(*named("ner/conll2003"), "--data_dir", data, *QUICK, *long)
    assert "max_length 30 does not fit" in refusal
    assert "of the backbone's 320 positions, position_offset takes 300" in refusal
    far = ("--pre_seq_len", "400")
    refusal = flow.refusal(*named("ner/conll2003"), "--data_dir", data, *QUICK, *far)
    assert "prefix_length 400 leaves no room for texts among its 320 positions" in refusal
    assert not flow.output.exists()


def test_mistakes_are_told_in_a_sentence(flow: Flow, tmp_path: Path) -> None:
    ask = flow.refusal
    rte = (*named("superglue/rte"), "--data_dir", write_set(tmp_path / "d", "superglue", "rte"))
    assert "There is nothing to train" in ask("--prefix")
    assert "belong together" in ask("--task", "superglue", "--prefix")
    assert "There is no dataset 'superglue/axb'" in ask(*named("superglue/axb"), "--prefix")
    assert "There is no recipe 'x'" in ask("--recipe", "x")
    assert "Give only one of them" in ask(*rte, "--prefix", "--prompt")
    hidden = ("--validation_file", tmp_path / "d" / "test.jsonl")
    flow(*rte, *QUICK)
    assert "'label': is missing" in ask(*rte, *hidden, "--do_eval", "--device", "cpu")
    (flow.output / "prefix.safetensors").unlink()
    assert "one template only" in ask(*rte, "--prefix", "--template_id", "1")
    assert "--template-id needs a dataset" in ask("a/b", "--template_id", "1")
    assert "Train it first with --do-train" in ask(*rte, "--do_predict")
    assert "run `polyprefix evaluate`" in ask("a/b", "--do_eval")
    assert "run `polyprefix evaluate`" in ask("a/b", "--do_train", "--do_predict")
    assert "expected train.jsonl" in ask(
        *named("superglue/rte"), "--data_dir", tmp_path, "--prefix"
    )
    assert "licensed" in ask(*named("ner/ontonotes"), "--prefix")
    assert "defines its columns" in ask(*rte, "--prefix", "--text_column", "x")
    assert "contradicts superglue/rte" in ask(*rte, "--prefix", "--task_type", "embedding")
    squad = write_set(tmp_path / "squad", "qa", "squad")
    (squad / "train-v1.1.json").unlink()
    assert "has no train-v1.1.json" in ask(*named("qa/squad"), "--data_dir", squad, "--prefix")
    assert "has no test rows here" in ask(*named("qa/squad"), "--data_dir", squad, "--do_predict")
