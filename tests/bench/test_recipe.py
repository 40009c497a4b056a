"""The search for a recipe: rows are dealt out once, settings read, and figures say their origin."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import origin
from bench.recipe import PARTS, part_out, settings_of
from tests.training.learnable_tasks import write_jsonl


def test_no_row_is_in_two_parts_and_the_seed_decides_which(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": "a"} for number in range(4000)]
    train = write_jsonl(tmp_path / "rows.jsonl", [*rows, *rows[:50]])
    files = part_out(train, tmp_path, seed=1)
    parts = {name: files[name].read_text(encoding="utf-8").splitlines() for name in PARTS}
    assert {name: len(lines) for name, lines in parts.items()} == {
        "train": 2000,
        "validation": 500,
        "test": 1500,
    }
    together = [line for lines in parts.values() for line in lines]
    assert sorted(together) == sorted(json.dumps(row) for row in rows)
    (tmp_path / "other").mkdir()
    other = part_out(train, tmp_path / "other", seed=2)
    assert other["train"].read_text(encoding="utf-8") != "\n".join(parts["train"]) + "\n"


def test_the_longest_rows_of_those_left_measure_what_is_asked_of_them(tmp_path: Path) -> None:
    rows = [{"text": "x" * number, "label": "a"} for number in range(2900)]
    train = write_jsonl(tmp_path / "rows.jsonl", rows)
    near = part_out(train, tmp_path, seed=0)["test"].read_text(encoding="utf-8").splitlines()
    far = part_out(train, tmp_path, seed=0, longest=True)["test"]
    assert far.read_text(encoding="utf-8").splitlines() == sorted(near, key=len)[:-201:-1]


def test_settings_of_a_variant_are_json_or_plain_text() -> None:
    assert settings_of("") == {}
    variant = "learning_rate=1e-2 schedule=cosine max_steps=null batch_size=16"
    assert settings_of(variant) == {
        "learning_rate": 0.01,
        "schedule": "cosine",
        "max_steps": None,
        "batch_size": 16,
    }


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("bench.recipe", "python -m bench.recipe --variants '' 'a=1 b=2' --output new.json"),
        ("bench.__main__", "python -m bench --variants '' 'a=1 b=2' --output new.json"),
    ],
)
def test_figures_name_the_command_that_made_them(
    monkeypatch: pytest.MonkeyPatch, module: str, command: str
) -> None:
    main = SimpleNamespace(__spec__=ModuleSpec(module, None))
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", ["x", "--variants", "", "a=1 b=2", "--output", "/a/new.json"])
    assert origin.command() == command
