"""A server on a real Ray cluster: answers, affinity, a killed replica, draining."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.hosting.ray.cluster import RayServer, ray_server, why_not
from tests.server.rest import Rest, new_registry, put, put_some, serving
from tests.snippets import ROOT, examples_of, matches

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
    pytest.mark.xdist_group("ray"),
]

TASKS = [f"acme/task-{number}" for number in range(8)]
QUESTIONS: dict[str, dict[str, Any]] = {
    "acme/mood": {"text": "a good film"},
    "examples/things": {"text": "my card in the city"},
    "examples/facts": {"question": "what was late", "context": "the train was late " * 9},
    "examples/causes": {"premise": "now", "choices": ["a good film", "my card"]},
    "examples/vectors": {"text": "a good film"},
    "examples/topics": {"text": "the game in the city"},
}


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


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Iterator[Rest]:
    """A server with the same prefixes, without Ray."""
    with serving(tmp_path_factory.mktemp("plain"), backbone) as running:
        yield running


def _ask(client: httpx.Client, task: str, text: str = "a good film") -> httpx.Response:
    return client.post("/v1/predict", json={"model": task, "input": text})


def _numbers(value: Any) -> list[float]:
    """All numbers of an answer but its times, in order."""
    if isinstance(value, dict):
        value = [each for name, each in value.items() if name != "timings_ms"]
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    return [float(value)] if isinstance(value, int | float) else []


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


def test_answers_are_those_of_a_server_without_ray(server: RayServer, plain: Rest) -> None:
    body = {
        "input": [
            {"model": task, **fields}
            for task, fields in [*QUESTIONS.items(), ("acme/mood", QUESTIONS["acme/mood"])]
        ]
    }
    with server.client() as client, plain.client("acme") as other:
        found, expected = (one.post("/v1/predict", json=body) for one in (client, other))

    assert found.status_code == expected.status_code == 200, found.text
    models = [[each["model"] for each in one.json()["results"]] for one in (found, expected)]
    assert models[0] == models[1]
    assert _numbers(found.json()) == pytest.approx(_numbers(expected.json()), abs=1e-5)


def test_errors_are_those_of_a_server_without_ray(server: RayServer, plain: Rest) -> None:
    with server.client() as client, plain.client("acme") as other:
        for body in (
            {"model": "acme/none", "input": "x"},
            {"model": "zoo/secret", "input": "x"},
            {},
        ):
            found, expected = (one.post("/v1/classify", json=body) for one in (client, other))
            assert found.status_code == expected.status_code
            assert found.json()["detail"] == expected.json()["detail"]


def test_an_upload_is_checked_by_a_replica_and_answers_at_once(
    server: RayServer, backbone: Backbone
) -> None:
    data = make_prefix(backbone.fingerprint, seed=99).to_bytes()
    with server.client() as client:
        path = "/v1/tenants/acme/prefixes/uploaded/versions"
        sent = client.post(path, files={"file": ("f", data)}, data={"alias": "live"})
        assert sent.status_code == 201, sent.text
        assert _ask(client, "acme/uploaded").status_code == 200


def test_two_ingress_replicas_share_a_limit(server: RayServer) -> None:
    limit, seconds_saved = 2, 10
    with server.client("operator") as operator:
        done = operator.patch("/v1/tenants/zoo/limits", json={"requests_per_second": limit})
        assert done.status_code == 200, done.text
    started = time.monotonic()
    with server.client("zoo") as client:
        statuses = [_ask(client, "zoo/secret").status_code for _ in range(60)]
    allowed = limit * (seconds_saved + time.monotonic() - started)

    assert set(statuses) == {200, 429}
    assert 0.8 * limit * seconds_saved <= statuses.count(200) <= 1.2 * allowed


def test_a_killed_replica_costs_no_answer(server: RayServer) -> None:
    with server.client() as client:
        expected = {task: _numbers(_ask(client, task).json()) for task in TASKS}
    stop = threading.Event()
    outcomes: Counter[str] = Counter()

    def keep_asking(start: int) -> None:
        with server.client() as client:
            for number in range(start, 10**6):
                if stop.is_set():
                    return
                task = TASKS[number % len(TASKS)]
                response = _ask(client, task)
                is_right = response.status_code == 200 and _numbers(
                    response.json()
                ) == pytest.approx(expected[task], abs=1e-5)
                outcomes["right" if is_right else f"{response.status_code} {response.text}"] += 1

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    victim = server.replicas("engine")[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 90
    while len(set(server.replicas("engine")) - {victim}) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()

    assert set(outcomes) == {"right"}, outcomes
    assert outcomes["right"] > 20


def test_a_signal_lets_requests_in_flight_finish(server: RayServer) -> None:
    body = {"input": [{"model": TASKS[n % 8], "text": "a good film " * 9} for n in range(250)]}
    statuses: list[int] = []

    def ask() -> None:
        with server.client() as client:
            statuses.append(client.post("/v1/classify", json=body).status_code)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    while not sum(server.samples("polyprefix_waiting_inputs")) and any(
        thread.is_alive() for thread in threads
    ):
        pass
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 404}, "the proxy rejects new requests with 404"
    assert 200 in statuses
    assert server.process.wait(timeout=60) == 0
