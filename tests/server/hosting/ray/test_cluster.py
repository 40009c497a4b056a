"""A server on a real Ray cluster: its page, and affinity."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.hosting.ray.cluster import RayServer, ray_server, why_not
from tests.server.rest import new_registry, put, put_some
from tests.snippets import ROOT, examples_of, matches

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
    pytest.mark.xdist_group("ray"),
]

TASKS = [f"acme/task-{number}" for number in range(8)]


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, backbone_folder: Path
) -> Iterator[RayServer]:
    folder = tmp_path_factory.mktemp("ray")
    registry, keys = new_registry(folder / "store")
    put_some(registry, backbone.fingerprint)
    for seed, task in enumerate(TASKS):
        put(registry, task, make_prefix(backbone.fingerprint, seed=seed))
    registry.close()
    settings = {
        "dtype": "float32",
        "linear_kernel": "torch",
        "attention_kernel": "torch",
        "ray_engine_replicas": "2",
        "ray_engine_cpus": "0.5",
    }
    flags = ("--backbone", str(backbone_folder), "--device", "cpu")
    with ray_server(folder / "store", keys, *flags, **settings) as running:
        yield running


def _ask(client: httpx.Client, task: str, text: str = "a good film") -> httpx.Response:
    return client.post("/v1/predict", json={"model": task, "input": text})


def test_the_examples_of_the_page_show_what_it_says(server: RayServer) -> None:
    examples = list(examples_of(ROOT / "docs" / "ray.md"))
    for example in examples:
        command = example.source.replace("curl ", f"curl --unix-socket {server.socket} ")
        done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=True)
        assert example.shown is None or matches(example.shown, done.stdout)

    assert examples


def test_each_task_stays_on_one_replica_under_light_load(server: RayServer) -> None:
    loads = "polyprefix_prefix_load_seconds_count"
    before = server.samples(loads)
    with server.client() as client:
        for _ in range(4):
            for task in TASKS:
                assert _ask(client, task).status_code == 200
    after = server.samples(loads)

    assert sum(after) - sum(before) == len(TASKS)
    assert sum(count > 0 for count in after) == 2, "both engine replicas have tasks"
