"""The page for users of P-tuning v2 names every dataset, flag and recipe."""

import dataclasses
from pathlib import Path

from server.command_line.ptuning_v2_flags import PtuningV2Flags
from server.command_line.ptuning_v2_ignored import IgnoredFlags
from training.datasets import DATASETS
from training.recipes import recipe_names

PAGE = (Path(__file__).parents[3] / "docs" / "from-p-tuning-v2.md").read_text(encoding="utf-8")


def test_the_page_names_every_set_and_its_texts() -> None:
    for name, dataset in DATASETS.items():
        family, _, own = name.partition("/")
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{family}` |"))
        assert f"`{own}`" in row
        for template in dataset.templates:
            assert f"`{template.text}`" in PAGE
            assert template.pair in {None, "{choice}"} or f"`{template.pair}`" in PAGE


def test_the_page_names_every_flag() -> None:
    own = {"family", "dataset", "recipe", "data_dir"}
    flags = {one.name for one in dataclasses.fields(PtuningV2Flags)} - own
    missing = [flag for flag in flags if f"`--{flag.replace('_', '-')}`" not in PAGE]
    assert missing == []
    ignored = {one.name for one in dataclasses.fields(IgnoredFlags)}
    assert {flag for flag in ignored if f"`--{flag}`" not in PAGE} == set()
    assert all(f"--{flag}" in PAGE for flag in ("task", "dataset", "recipe", "data-dir"))


def test_the_page_uses_recipes_that_there_are() -> None:
    used = {word for line in PAGE.splitlines() for word in line.split("--recipe ")[1:]}
    assert used
    assert {word.split()[0].strip("`:") for word in used} <= set(recipe_names())
