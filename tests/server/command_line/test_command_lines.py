"""Plans that command lines of `train` describe. Nothing is trained."""

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.command_line import ptuning_v2_evaluation, training_run
from server.command_line.main import app
from tests.training.learnable_tasks import sentiment_rows, write_jsonl
from training.recipes import load_recipe
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan

BERT, UNCASED, ROBERTA = "bert-large-cased", "bert-large-uncased", "roberta-large"
PROJECTED = "--prefix_projection --template_id 1"
SCRIPTS = {
    # family, set, backbone, learning rate, dropout, prefix length, epochs, batch size, seed, more
    "boolq_bert": ("superglue", "boolq", BERT, "5e-3", 0.1, 40, 100, 32, 11, ""),
    "boolq_roberta": ("superglue", "boolq", ROBERTA, "7e-3", 0.1, 8, 100, 32, 11, ""),
    "copa_bert": ("superglue", "copa", BERT, "1e-2", 0.1, 16, 80, 16, 44, ""),
    "copa_roberta": ("superglue", "copa", ROBERTA, "9e-3", 0.1, 8, 120, 16, 11, ""),
    "rte_bert": ("superglue", "rte", BERT, "1e-2", 0.1, 20, 60, 32, 11, ""),
    "rte_roberta": ("superglue", "rte", ROBERTA, "5e-3", 0.1, 128, 100, 32, 11, ""),
    "wic_bert": ("superglue", "wic", BERT, "1e-4", 0.1, 20, 80, 16, 44, PROJECTED),
    "wic_roberta": ("superglue", "wic", ROBERTA, "1e-2", 0.1, 8, 50, 32, 11, "--template_id 0"),
    "wsc_bert": ("superglue", "wsc", BERT, "5e-3", 0.1, 20, 80, 16, 44, ""),
    "wsc_roberta": ("superglue", "wsc", ROBERTA, "1e-2", 0.1, 8, 10, 16, 44, ""),
    "conll03_roberta": ("ner", "conll2003", ROBERTA, "3e-2", 0.1, 11, 30, 16, 11, ""),
    "conll04_bert": ("ner", "conll2004", UNCASED, "2e-2", 0.2, 128, 40, 32, 11, ""),
    "conll04_roberta": ("ner", "conll2004", ROBERTA, "6e-2", 0.1, 144, 80, 32, 11, ""),
    "ontonotes_bert": ("ner", "ontonotes", UNCASED, "1e-2", 0.1, 16, 30, 16, 11, ""),
    "ontonotes_roberta": ("ner", "ontonotes", ROBERTA, "7e-3", 0.1, 48, 60, 16, 14, ""),
    "conll05_roberta": ("srl", "conll2005", ROBERTA, "6e-3", 0.1, 224, 15, 16, 11, ""),
    "conll12_bert": ("srl", "conll2012", ROBERTA, "5e-3", 0.1, 128, 45, 16, 11, ""),
    "conll12_roberta": ("srl", "conll2012", ROBERTA, "5e-3", 0.1, 64, 45, 32, 11, ""),
    "squad_roberta": ("qa", "squad", ROBERTA, "5e-3", 0.2, 16, 30, 8, 11, ""),
    "squad_v2_roberta": ("qa", "squad_v2", ROBERTA, "5e-3", 0.2, 8, 10, 8, 11, ""),
}
MODES = {"ner": "--do_eval --do_predict", "srl": "--do_eval --do_predict"}
RTE = "--task superglue --dataset rte --pre_seq_len 20 --hidden_dropout_prob 0.1"


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Invoker":
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(12))
    return Invoker(f"--train {rows} --output {tmp_path / 'output'}", monkeypatch)


class Invoker:
    """Parses command lines, and keeps their plans instead of training them."""

    def __init__(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        self._plans: list[TrainPlan] = []
        for name in ("train_and_publish", "fine_tune"):
            monkeypatch.setattr(training_run, name, lambda plan, *_, **__: self._plans.append(plan))
        monkeypatch.setattr(ptuning_v2_evaluation, "use_parts", lambda *_, **__: None)

    def plan(self, line: str) -> TrainPlan:
        self.warnings(line)
        return self._plans.pop()

    def warnings(self, line: str) -> str:
        result = CliRunner().invoke(app, shlex.split(f"train {line} {self._place}"))
        assert result.exit_code == 0, result.output
        return result.stderr

    def config(self, line: str) -> TrainConfig:
        (config,) = self.plan(line).runs
        return config

    def refusal(self, line: str) -> str:
        result = CliRunner().invoke(app, shlex.split(f"train {line} {self._place}"))
        assert result.exit_code == 2, result.output
        return " ".join(result.stderr.split())


def script(name: str) -> str:
    """Return the command line of a script of P-tuning v2."""
    family, dataset, backbone, rate, dropout, length, epochs, batch, seed, more = SCRIPTS[name]
    return (
        f"--model_name_or_path {backbone} --task_name {family} --dataset_name {dataset} --do_train "
        f"{MODES.get(family, '--do_eval')} --per_device_train_batch_size {batch} "
        f"--learning_rate {rate} --num_train_epochs {epochs} --pre_seq_len {length} "
        f"--overwrite_output_dir --hidden_dropout_prob {dropout} --seed {seed} "
        f"--save_strategy no --evaluation_strategy epoch --prefix {more}"
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_of_the_original_runs_as_it_is(invoke: Invoker, tmp_path: Path, name: str) -> None:
    line = f"{script(name)} --test {tmp_path / 'rows.jsonl'}"
    recipe = load_recipe(name)
    plan = invoke.plan(line)
    assert plan.backbone == SCRIPTS[name][2]
    (config,) = plan.runs
    # run.py sets the other fields regardless of its flags, and so do the recipes.
    same = recipe.keys() & {
        *("dataset", "method", "prefix_length", "projection_size", "template", "learning_rate"),
        *("head_learning_rate", "prefix_dropout", "epochs", "min_steps", "batch_size", "seed"),
    }
    assert {x: getattr(config, x) for x in same} == {x: recipe[x] for x in same}


def test_the_search_of_the_original_is_a_recipe(invoke: Invoker) -> None:
    plan = invoke.plan("--recipe search_copa_roberta")
    assert plan.sweep is not None
    assert plan.sweep.num_trials == 108
    assert {one["prefix_length"] for one in plan.sweep.points()} == {4, 8, 16, 32, 64, 128}
    assert (plan.backbone, plan.runs[0].dataset) == ("roberta-large", "superglue/copa")


def test_flags_without_a_meaning_are_named_in_one_line(invoke: Invoker) -> None:
    warnings = invoke.warnings(script("rte_bert"))
    assert warnings == (
        "Ignored flags, which have no effect here: --overwrite_output_dir, "
        "--save_strategy, --evaluation_strategy\n"
    )
    assert not invoke.warnings("--recipe rte_bert")


def test_settings_of_the_originals_trainer_are_ours(invoke: Invoker) -> None:
    config = invoke.config(
        f"{RTE} --prefix --weight_decay 0.02 --warmup_ratio 0.2 --lr_scheduler_type cosine "
        "--max_grad_norm 0.5"
    )
    found = (config.weight_decay, config.warmup, config.schedule, config.max_gradient_norm)
    assert found == (0.02, 0.2, "cosine", 0.5)


def test_half_precision_is_bfloat16(invoke: Invoker) -> None:
    plan = invoke.plan(f"{RTE} --prefix --bf16 --no_cuda")
    assert (plan.dtype, plan.device) == ("bfloat16", "cpu")
    assert invoke.plan(f"{RTE} --prefix --fp16").dtype == "bfloat16"
    assert "trains in bfloat16" in invoke.warnings(f"{RTE} --prefix --fp16")
    assert invoke.plan(f"{RTE} --prefix --bf16 --dtype float32").dtype == "float32"


@pytest.mark.parametrize("method", ["vectors", "head", "full"])
def test_a_recipe_for_prefixes_is_one_for_other_methods_too(invoke: Invoker, method: str) -> None:
    for recipe in ("rte_bert", "rte_roberta", "wic_bert", "conll03_roberta"):
        config = invoke.config(f"--recipe {recipe} --method {method}")
        assert (config.method, config.prefix_length, config.prefix_dropout) == (method, 0, 0.0)
        assert config.feature_dropout == 0.1


def test_a_whole_model_is_not_moved_in_the_steps_of_a_prefix(invoke: Invoker) -> None:
    line = "--recipe rte_bert --method full"
    config = invoke.config(line)
    assert (config.learning_rate, config.warmup, config.weight_decay) == (5e-5, 0.1, 0.01)
    assert (config.epochs, config.seed) == (60, 11)
    assert invoke.config(f"{line} --learning-rate 1e-4").learning_rate == 1e-4


def test_vectors_are_not_moved_in_the_steps_of_a_prefix(invoke: Invoker) -> None:
    config = invoke.config("--recipe rte_bert --method vectors")
    assert (config.learning_rate, config.epochs) == (0.01, 60)


def test_a_prompt_comes_before_the_method_of_a_recipe(invoke: Invoker) -> None:
    for recipe in ("rte_bert", "wic_bert"):  # the second has a projection
        config = invoke.config(f"--recipe {recipe} --prompt")
        assert (config.method, config.prefix_length) == ("prompt", 20)


def test_without_a_method_the_original_ignores_what_is_of_prefixes(invoke: Invoker) -> None:
    config = invoke.config(RTE)
    assert (config.method, config.prefix_length, config.prefix_dropout) == ("full", 0, 0.0)
    config = invoke.config(f"{RTE} --prefix --prefix_projection")
    assert (config.method, config.prefix_length, config.projection_size) == ("prefix", 20, 512)


@pytest.mark.parametrize(
    "flags",
    ["--prefix-length 8", "--set prefix_dropout=0.1", "--projection-size 8"],
)
def test_our_own_flags_of_prefixes_are_refused_without_one(invoke: Invoker, flags: str) -> None:
    message = invoke.refusal(f"--recipe rte_bert --method head {flags}")
    assert "applies only to a prefix, and method 'head' trains none" in message


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--prompt --method head", "--prompt and --method head contradict each other"),
        ("--prefix --method full", "--prefix and --method full contradict each other"),
        ("--prefix --prompt", "--prefix and --prompt select different methods"),
    ],
)
def test_two_methods_are_refused(invoke: Invoker, flags: str, complaint: str) -> None:
    assert complaint in invoke.refusal(f"acme/x {flags}")
