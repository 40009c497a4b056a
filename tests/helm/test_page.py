"""docs/kubernetes.md: its commands and values render, and it names values that exist."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from server.settings import Settings, variable_of
from tests.helm.charts import CHART, FOLDER, ROOT, helm, merged, render, values_file
from tests.helm.value_sets import REPLICATED

PAGE: Final = (ROOT / "docs" / "kubernetes.md").read_text()
DEFAULTS: Final = yaml.safe_load((CHART / "values.yaml").read_text())
NEEDS_SERVICES: Final = ("helm test", "helm rollback", "kubectl")


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `helm install` and `helm upgrade` of a text."""
    joined = re.sub(r"\\\n[# ]*", "", text)
    yield from map(
        shlex.split, re.findall(r"^[# ]*(helm (?:install|upgrade) .+)$", joined, re.MULTILINE)
    )


def values_of(words: list[str]) -> dict[str, Any]:
    """The values that the flags of a command set."""
    values: dict[str, Any] = {}
    for flag, value in pairwise(words):
        if flag == "--set":
            values = merged(values, helm.parse_set_string(value))
        elif flag == "--values" and value != "values.yaml":  # the reader's own
            values = merged(values, values_file(Path(value).name))
    return values


FILES: Final = (ROOT / "docs" / "kubernetes.md", *sorted(FOLDER.glob("*.yaml")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_commands_install_what_the_chart_renders(path: Path) -> None:
    for words in commands(path.read_text()):
        assert "deploy/helm/polyprefix" in words
        named = [value for flag, value in pairwise(words) if flag == "--values"]
        assert all((ROOT / name).exists() for name in named if name != "values.yaml")
        assert render(values_of(words))


def test_the_page_has_commands() -> None:
    assert len(list(commands(PAGE))) == 4


def blocks() -> list[Any]:
    indented = re.findall(r"^( *)```yaml\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    return [yaml.safe_load(text) for _, text in indented]


def test_values_on_the_page_render() -> None:
    values = [block for block in blocks() if "rules" not in block]
    assert len(values) == 3
    for block in values:
        assert render(merged(REPLICATED, block))


def test_the_rule_of_the_adapter_offers_the_metric_by_which_servers_scale() -> None:
    (rule,) = (rule for block in blocks() for rule in block.get("rules", ()))
    assert rule["seriesQuery"].startswith("polyprefix_waiting_inputs{")


def test_values_that_the_page_names_exist() -> None:
    groups = "|".join(name for name, value in DEFAULTS.items() if isinstance(value, dict))
    named = set(re.findall(rf"`((?:{groups})(?:\.\w+)+)(?::[^`]*)?`", PAGE))
    assert len(named) > 15
    for name in named:
        value: Any = DEFAULTS
        for part in name.split("."):
            value = value[part]


def test_variables_that_the_page_names_are_settings() -> None:
    named = set(re.findall(r"POLYPREFIX_[A-Z_]+", PAGE))
    assert named <= {variable_of(name) for name in Settings.model_fields}


def test_every_file_of_values_and_every_mode_is_on_the_page() -> None:
    assert {f"deploy/helm/{path.name}" for path in FOLDER.glob("*.yaml")} == set(
        re.findall(r"^\| `(deploy/helm/[\w.-]+)` \|", PAGE, re.MULTILINE)
    )
    modes = helm.Chart.load(CHART).schema["properties"]["mode"]["enum"]
    table = PAGE.split("## Modes\n\n")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE)[1:] == modes
