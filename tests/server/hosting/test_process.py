"""The server as a process with signals, a port and a disk."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from prefixes import digest_of
from prefixes.backbone import Backbone
from tests.factories import make_prefix, with_golden
from tests.server.hosting.processes import client, front_ends, server_process, store, upload

NUM_KILLS = 2

__all__ = ["front_ends", "store"]


def test_a_first_start_serves_examples_and_exits_with_0(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    tmp_path: Path,
    front_ends: tuple[str, ...],
) -> None:
    examples = tmp_path / "examples"
    examples.mkdir()
    texts = ("a good film", "the late train")
    for seed, task in enumerate(("mood", "topic", "spam")):
        prefix = with_golden(backbone, make_prefix(backbone.fingerprint, seed=seed), texts)
        (examples / f"{task}.safetensors").write_bytes(prefix.to_bytes())
    flags = ("--backbone", str(backbone_folder), "--examples-folder", str(examples), *front_ends)
    with server_process(store[0], *flags, is_forked=False) as (process, url):
        tasks = ("topic", "mood", "spam")
        inputs = [{"model": f"examples/{task}", "text": "good"} for task in tasks]
        answer = httpx.post(f"{url}/v1/classify", json={"input": inputs})
        assert answer.status_code == 200, answer.text
        served = [result["model"] for result in answer.json()["results"]]
        assert served == ["examples/topic@1", "examples/mood@1", "examples/spam@1"]
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_every_process_and_the_next_start_split_callers_alike(
    store: tuple[Path, str], backbone: Backbone, backbone_folder: Path
) -> None:
    folder, key = store
    flags = ("--backbone", str(backbone_folder))
    body = {"model": "mood", "input": "good"}
    path = "/v1/tenants/acme/prefixes/mood/aliases/live/canary"
    rules_path = path.replace("canary", "rules")
    found: list[list[str]] = []
    for num_front_ends in ("0", "2"):
        with server_process(folder, *flags, "--num-front-ends", num_front_ends) as (_, url):
            if not found:
                with client(url, key) as setup:
                    for seed in (1, 2):
                        data = make_prefix(backbone.fingerprint, seed=seed).to_bytes()
                        assert upload(setup, "mood", data).status_code == 201
                    canary = {"version": 2, "percent": 40}
                    assert setup.put(path, json=canary).status_code == 200
                    rules = {"min_score": 1.0}  # of the stable version
                    assert setup.put(rules_path, json=rules).status_code == 200
            models = []
            for number in range(30):
                headers = {"X-Canary-Key": f"user {number}"}
                with client(url, key) as caller:  # a new connection, so any front end may answer
                    answer = caller.post("/v1/classify", json=body, headers=headers)
                (result,) = answer.json()["results"]
                models.append(result["model"])
                assert ("reason" in result) == (result["model"] == "acme/mood@1")
            found.append(models)
    assert found[0] == found[1]
    assert set(found[0]) == {"acme/mood@1", "acme/mood@2"}


def test_sigterm_lets_in_flight_work_finish(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    front_ends: tuple[str, ...],
) -> None:
    folder, key = store
    codes: list[int] = []
    last_refusals: list[httpx.Response] = []
    flags = ("--backbone", str(backbone_folder), *front_ends)
    with server_process(folder, *flags) as (process, url):
        with client(url, key) as setup:
            data = make_prefix(backbone.fingerprint).to_bytes()
            assert upload(setup, "mood", data).status_code == 201

        def work() -> None:
            body = {"model": "mood", "input": ["good film"] * 64}
            with client(url, key) as sender, contextlib.suppress(httpx.ConnectError):
                while True:
                    response = sender.post("/v1/classify", json=body)
                    codes.append(response.status_code)
                    if response.status_code != 200:
                        last_refusals.append(response)
                        return

        senders = [threading.Thread(target=work) for _ in range(4)]
        for sender in senders:
            sender.start()
        while len(codes) < 8:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        for sender in senders:
            sender.join()
    assert set(codes) <= {200, 503}
    for refusal in last_refusals:
        assert refusal.json()["code"] == "engine_unavailable"
        assert refusal.headers["retry-after"]


def test_acknowledged_uploads_survive_kill_9_and_others_are_invisible(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    front_ends: tuple[str, ...],
) -> None:
    folder, key = store
    acknowledged: dict[str, str] = {}
    files = iter(
        make_prefix(backbone.fingerprint, seed=seed, prefix_length=64).to_bytes()
        for seed in range(10_000)
    )
    flags = ("--backbone", str(backbone_folder), *front_ends)
    for _ in range(NUM_KILLS):
        with server_process(folder, *flags) as (process, url):
            check(url, key, acknowledged)
            killer = threading.Timer(0.0, process.kill)
            upload_until_it_dies(url, key, files, acknowledged, killer.start)
            killer.join()
    with server_process(folder, *flags) as (_, url):
        check(url, key, acknowledged)
    assert len(acknowledged) >= NUM_KILLS


def upload_until_it_dies(
    url: str,
    key: str,
    files: Iterator[bytes],
    acknowledged: dict[str, str],
    kill: Callable[[], None],
) -> None:
    """Upload without a pause; after a few acknowledgements, call for the kill and go on."""
    num_done = 0
    with client(url, key) as sender:
        try:
            while True:
                data = next(files)
                response = upload(sender, "mood", data)
                if response.status_code == 503:  # a front end has outlived the engine by a moment
                    return
                assert response.status_code == 201, response.text
                acknowledged[response.json()["ref"]] = digest_of(data)
                num_done += 1
                if num_done == 3:
                    kill()
        except httpx.TransportError:
            return


def check(url: str, key: str, acknowledged: dict[str, str]) -> None:
    """Every acknowledged version is there, whole; every visible one can be downloaded."""
    if not acknowledged:
        return
    with client(url, key) as reader:
        entry: dict[str, Any] = reader.get("/v1/tenants/acme/prefixes/mood").json()
        visible = {version["ref"]: version["digest"] for version in entry["versions"]}
        assert acknowledged.items() <= visible.items()
        for version in entry["versions"]:
            path = f"/v1/tenants/acme/prefixes/mood/versions/{version['version']}/file"
            assert digest_of(reader.get(path).content) == version["digest"]
        last = list(visible)[-1]
        body = {"model": last, "input": "good"}
        assert reader.post("/v1/classify", json=body).status_code == 200
