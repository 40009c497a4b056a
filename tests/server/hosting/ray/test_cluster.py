"""A server on a real Ray cluster: answers, affinity, a killed replica.

These tests run in any order and share a server, so none of them may stop it.
"""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.hosting.ray.cluster import (
    TASKS,
    UNUSED_TASKS,
    RayServer,
    ask,
    numbers_in,
    ray_server,
    why_not,
)
from tests.server.rest import Rest, serving
from tests.snippets import ROOT, examples_of, matches

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

SECONDS_UNTIL_SHARED = 5
"""Ingress replicas count each other every two seconds."""

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
    with ray_server(tmp_path_factory.mktemp("ray"), backbone, backbone_folder) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> Iterator[Rest]:
    """A server with the same prefixes, without Ray."""
    with serving(tmp_path_factory.mktemp("plain"), backbone) as running:
        yield running


def test_the_examples_of_the_page_show_what_it_says(server: RayServer) -> None:
    examples = list(examples_of(ROOT / "docs" / "ray.md"))
    for example in examples:
        command = example.source.replace("curl ", f"curl --unix-socket {server.socket} ")
        done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=True)
        assert example.shown is None or matches(example.shown, done.stdout)

    assert examples


def test_each_task_stays_on_one_replica_under_light_load(server: RayServer) -> None:
    server.await_replicas()  # tasks of one that is missing would move to it in the middle
    loads = "polyprefix_prefix_load_seconds_count"
    before = server.samples(loads)
    with server.client() as client:
        for _ in range(4):
            for task in UNUSED_TASKS:
                assert ask(client, task).status_code == 200
    after = server.samples(loads)

    assert sum(after) - sum(before) == len(UNUSED_TASKS)
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
    assert numbers_in(found.json()) == pytest.approx(numbers_in(expected.json()), abs=1e-5)


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


@pytest.mark.parametrize("path", ["/readyz", "/v1/tasks", "/none"])
def test_a_response_has_one_request_id(server: RayServer, path: str) -> None:
    with server.client() as client:
        for sent, is_kept in (("a-client.1", True), ("not an id", False)):
            headers = client.get(path, headers={"X-Request-Id": sent}).headers
            found = headers.get_list("x-request-id")
            assert len(found) == 1
            assert (found[0] == sent) == is_kept


def test_an_upload_is_checked_by_a_replica_and_answers_at_once(
    server: RayServer, backbone: Backbone
) -> None:
    data = make_prefix(backbone.fingerprint, seed=99).to_bytes()
    with server.client() as client:
        path = "/v1/tenants/acme/prefixes/uploaded/versions"
        sent = client.post(path, files={"file": ("f", data)}, data={"alias": "live"})
        assert sent.status_code == 201, sent.text
        assert ask(client, "acme/uploaded").status_code == 200


def test_two_ingress_replicas_share_a_limit(server: RayServer) -> None:
    limit, seconds_saved = 2, 10
    server.await_replicas()
    time.sleep(SECONDS_UNTIL_SHARED)  # until then, each allows the whole limit
    with server.client("operator") as operator:
        done = operator.patch("/v1/tenants/zoo/limits", json={"requests_per_second": limit})
        assert done.status_code == 200, done.text
    started = time.monotonic()
    statuses: list[int] = []
    seconds = allowed = 0.0
    # A proxy may send the first burst to one replica, because it does not know the queue of the
    # other one. Its part of the saved requests stays unused, so the share grows with time.
    with server.client("zoo") as client:
        while seconds < 6 or (statuses.count(200) < 0.8 * allowed and seconds < 120):
            statuses.append(ask(client, "zoo/secret").status_code)
            seconds = time.monotonic() - started
            allowed = limit * (seconds_saved + seconds)

    assert set(statuses) == {200, 429}
    assert 0.8 * allowed <= statuses.count(200) <= 1.2 * allowed


def test_a_killed_replica_costs_no_answer(server: RayServer) -> None:
    with server.client() as client:
        expected = {task: numbers_in(ask(client, task).json()) for task in TASKS}
    stop = threading.Event()
    outcomes: Counter[str] = Counter()

    def keep_asking(start: int) -> None:
        with server.client() as client:
            for number in range(start, 10**6):
                if stop.is_set():
                    return
                task = TASKS[number % len(TASKS)]
                response = ask(client, task)
                is_right = response.status_code == 200 and numbers_in(
                    response.json()
                ) == pytest.approx(expected[task], abs=1e-5)
                outcomes["right" if is_right else f"{response.status_code} {response.text}"] += 1

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        os.kill(server.replicas("engine")[0], signal.SIGKILL)
        server.await_replicas()
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert set(outcomes) == {"right"}, outcomes
    assert outcomes["right"] > 20
