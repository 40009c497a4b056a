"""Command lines of `train`, read to the plan that would be trained."""

import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.training.tasks import sentiment_rows, write_jsonl
from training import cli, commands
from training.config import TrainConfig
from training.original_flags import UNDERSCORES
from training.plan import TrainPlan

RTE = "--task superglue --dataset rte --pre_seq_len 20 --hidden_dropout_prob 0.1"


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Invoker":
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(12))
    return Invoker(f"--train {rows} --output {tmp_path / 'output'}", monkeypatch)


class Invoker:
    """Reads command lines; what they ask for is kept, and not trained."""

    def __init__(self, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place
        self._plans: list[TrainPlan] = []
        self._app = typer.Typer()
        self._app.command(context_settings=UNDERSCORES)(cli.train)
        for name in ("train_and_publish", "fine_tune"):
            monkeypatch.setattr(commands, name, lambda plan, *_, **__: self._plans.append(plan))

    def plan(self, line: str) -> TrainPlan:
        result = CliRunner().invoke(self._app, shlex.split(f"{line} {self._place}"))
        assert result.exit_code == 0, result.output
        return self._plans.pop()

    def config(self, line: str) -> TrainConfig:
        (config,) = self.plan(line).runs
        return config

    def refusal(self, line: str) -> str:
        result = CliRunner().invoke(self._app, shlex.split(f"{line} {self._place}"))
        assert result.exit_code == 2, result.output
        return " ".join(result.stderr.split())


@pytest.mark.parametrize("method", ["head", "full"])
def test_a_recipe_for_prefixes_is_one_for_baselines_too(invoke: Invoker, method: str) -> None:
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
    assert "belongs to a prefix, which method 'head' has none of" in message


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--prompt --method head", "--prompt and --method head contradict each other"),
        ("--prefix --method full", "--prefix and --method full contradict each other"),
        ("--prefix --prompt", "--prefix and --prompt are two methods"),
    ],
)
def test_two_methods_are_refused(invoke: Invoker, flags: str, complaint: str) -> None:
    assert complaint in invoke.refusal(f"acme/x {flags}")
