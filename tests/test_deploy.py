"""The dashboard and the alerts use metrics and labels that exist, and `promtool` accepts them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from prefixes.backbone import Backbone
from tests.server.rest import serving

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
PROMETHEUS: Final = DEPLOY / "prometheus"
PAGE: Final = (ROOT / "docs" / "observability.md").read_text()
DASHBOARD: Final[dict[str, Any]] = json.loads(
    (DEPLOY / "grafana" / "dashboards" / "polyprefix.json").read_text()
)
RULES: Final[list[dict[str, Any]]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ADDED: Final = frozenset({"instance", "job"})
"""Labels that Prometheus adds to every series."""
SELECTOR: Final = re.compile(r"\b(up|(?:polyprefix|process)_\w+)(?:\{([^}]*)\})?")


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> str:
    """Run promtool, and return its output. It must succeed."""
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def expressions_of_dashboard() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def expressions() -> list[str]:
    return [*expressions_of_dashboard(), *(rule["expr"] for rule in RULES)]


@pytest.fixture(scope="module")
def series(
    backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, frozenset[str]]:
    """The labels of each series that a server has after a few requests, by its name."""
    folder = tmp_path_factory.mktemp("deploy")
    with serving(folder, backbone, max_tenant_series=5, max_task_series=5) as rest:
        metrics = rest.app.state.services.metrics
        metrics.training_done("failed")
        metrics.webhook_attempted("delivered")
        metrics.drifted(1, {("acme", "mood", "length"): 0.5})
        for tenant in ("acme", None):
            body = {"model": "examples/mood", "input": "good"}
            rest.call("POST", "/v1/classify", tenant, json=body)
        text = rest.call("GET", "/metrics").text
    found: dict[str, set[str]] = {"up": set()}  # of Prometheus itself
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {name: frozenset(labels) for name, labels in found.items()}


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_uses_metrics_and_labels_that_exist(
    series: dict[str, frozenset[str]], expression: str
) -> None:
    names = SELECTOR.findall(expression)
    assert names
    known: set[str] = set(ADDED)
    for name, matchers in names:
        assert name in series, f"{name} is not a metric of the server"
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= series[name] | ADDED, (name, used)
        known |= series[name]
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= known, expression


def test_labels_of_legends_are_labels_of_their_expressions(
    series: dict[str, frozenset[str]],
) -> None:
    for panel in panels():
        for target in panel.get("targets", ()):
            known = ADDED.union(*(series[name] for name, _ in SELECTOR.findall(target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_panels_have_a_title_a_place_and_an_id_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine


def test_every_alert_says_what_to_do_and_is_on_the_page() -> None:
    for rule in RULES:
        assert rule["labels"].keys() == {"severity"}
        assert rule["annotations"].keys() == {"summary", "description"}
    rows = dict(re.findall(r"^\| `(Polyprefix\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert rows == {rule["alert"]: rule["labels"]["severity"] for rule in RULES}


def test_every_alert_is_tested() -> None:
    text = (PROMETHEUS / "alerts_test.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', text)) == {rule["alert"] for rule in RULES}


def test_promtool_accepts_the_rules_and_their_tests() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")
    assert "is valid" in promtool("check", "config", "prometheus.yml")


def test_the_commands_of_the_page_run() -> None:
    commands = re.findall(r"^promtool (.+)$", PAGE, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert "SUCCESS" in promtool(*command.split(), folder=ROOT)


def test_promtool_accepts_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, expression in enumerate(expressions_of_dashboard())
    ]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(path))


def test_a_dashboard_is_provisioned_from_a_source_that_exists() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "polyprefix.yml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
