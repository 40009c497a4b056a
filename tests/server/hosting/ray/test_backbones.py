"""A server on a real Ray cluster with two backbones."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes import BackboneFingerprint
from prefixes.backbone import Backbone, load_backbone
from tests.factories import make_backbone_folder, make_prefix
from tests.server.hosting.ray.cluster import RayServer, ask, numbers_in, running_server, why_not
from tests.server.rest import new_registry, put, serving

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

MIXED = ("acme/first", "acme/second", "acme/vectors", "acme/first", "acme/second")
TEXTS = ("a good film", "the train was late", "my card", "very bad plot", "hello")


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbones") / "tiny-roberta"
    return make_backbone_folder(folder, "roberta", seed=1)


@pytest.fixture(scope="module")
def other(other_folder: Path) -> Backbone:
    return load_backbone(other_folder, device="cpu")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    backbone: Backbone,
    backbone_folder: Path,
    other: Backbone,
    other_folder: Path,
) -> Iterator[RayServer]:
    folder = tmp_path_factory.mktemp("ray")
    registry, keys = new_registry(folder / "store")
    put(registry, "acme/first", make_prefix(backbone.fingerprint, seed=1))
    put(registry, "acme/second", make_prefix(other.fingerprint, seed=2))
    put(registry, "acme/vectors", make_prefix(other.fingerprint, seed=3, task_type="embedding"))
    registry.close()
    flags = ("--store-folder", str(folder / "store"), "--backbone", str(backbone_folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYPREFIX_RAY_BACKBONES", f"{other_folder}=1")
        with running_server(keys, *flags) as running:
            yield running


def _inputs(*places: int) -> dict[str, Any]:
    return {"input": [{"model": MIXED[place], "text": TEXTS[place]} for place in places]}


def _results(server: RayServer, *places: int) -> list[dict[str, Any]]:
    with server.client() as client:
        answer = client.post("/v1/predict", json=_inputs(*places))
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_each_backbone_has_its_replicas(server: RayServer) -> None:
    assert len(server.replicas("engine")) == 2 + 1
    assert len(server.replicas("engine-2")) == 1


def test_a_request_for_both_backbones_gets_the_answers_of_each_alone(
    server: RayServer, tmp_path: Path, backbone: Backbone, other: Backbone
) -> None:
    mixed = _results(server, *range(len(MIXED)))
    alone = [_results(server, place)[0] for place in range(len(MIXED))]

    assert [one["model"] for one in mixed] == [f"{task}@1" for task in MIXED]
    for place, (one, expected) in enumerate(zip(mixed, alone, strict=True)):
        assert numbers_in({**one, "index": 0}) == pytest.approx(numbers_in(expected), abs=1e-5)
        assert one["index"] == place
    for number, its_backbone in enumerate((backbone, other)):  # servers without Ray
        with serving(tmp_path / str(number), its_backbone) as plain:
            seed, task = (1, "acme/first") if number == 0 else (2, "acme/second")
            put(plain.registry, task, make_prefix(its_backbone.fingerprint, seed=seed))
            body = {"model": task, "input": TEXTS[number]}
            (expected,) = plain.call("POST", "/v1/predict", "acme", json=body).json()["results"]
        assert numbers_in(alone[number]) == pytest.approx(numbers_in(expected), abs=1e-5)


def test_an_upload_must_fit_one_of_the_backbones(
    server: RayServer, backbone: Backbone, other: Backbone
) -> None:
    unserved = _changed(other.fingerprint)
    path = "/v1/tenants/acme/prefixes/{}/versions"
    with server.client() as client:
        for name, fingerprint in (("bert", backbone.fingerprint), ("roberta", other.fingerprint)):
            data = make_prefix(fingerprint, seed=9).to_bytes()
            sent = client.post(path.format(name), files={"file": data}, data={"alias": "live"})
            assert sent.status_code == 201, sent.text
            assert ask(client, f"acme/{name}").status_code == 200
        data = make_prefix(unserved, seed=9).to_bytes()
        sent = client.post(path.format("none"), files={"file": data})

    assert sent.status_code == 422
    for named in (backbone.fingerprint, other.fingerprint, unserved):
        assert named.label in sent.text


def test_all_backbones_are_described(
    server: RayServer, backbone: Backbone, other: Backbone
) -> None:
    both = (backbone.fingerprint, other.fingerprint)
    with server.client() as client:
        summary = client.get("/").json()
        models = [client.get(f"/v1/models/{task}").json() for task in MIXED[:2]]
        listed = client.get("/v1/models").json()["data"]

    assert summary["backbone"] == backbone.fingerprint.name
    assert summary["backbones"] == [
        {"name": one.name, "weights_sha256": one.weights_sha256} for one in both
    ]
    assert [one["parent"] for one in models] == [one.name for one in both]
    assert {one["parent"] for one in listed} == {None}


def test_an_error_names_the_place_of_the_input(server: RayServer) -> None:
    body = _inputs(0, 1, 2)
    body["input"][2]["text"] = ""
    with server.client() as client:
        answer = client.post("/v1/predict", json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("input[2]: ")


def test_rows_of_a_batch_file_may_be_for_both_backbones(server: RayServer) -> None:
    rows = _inputs(*range(len(MIXED)))["input"]
    content = "".join(f"{json.dumps(row)}\n" for row in rows)
    with server.client() as client:
        headers = {"Content-Type": "application/jsonl"}
        added = client.post("/v1/batches", content=content, headers=headers)
        assert added.status_code == 202, added.text
        links = added.json()["links"]
        deadline = time.monotonic() + 120
        while (shown := client.get(links["self"]).json())["state"] in {"queued", "running"}:
            assert time.monotonic() < deadline, shown
            time.sleep(0.2)
        results = [json.loads(line) for line in client.get(links["results"]).text.splitlines()]

    assert (shown["state"], shown["num_failed"]) == ("succeeded", 0)
    expected = _results(server, *range(len(MIXED)))
    assert [one["model"] for one in results] == [one["model"] for one in expected]


def _changed(fingerprint: BackboneFingerprint) -> BackboneFingerprint:
    return fingerprint.model_copy(update={"name": "unserved", "weights_sha256": "a" * 64})
