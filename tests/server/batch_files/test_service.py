"""Batch files in a server process, over HTTP."""

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.server.hosting.processes import client, server_process
from tests.server.rest import put

JSONL = {"Content-Type": "application/jsonl"}
ROUTE = "/v1/batches"


def new_store(folder: Path, backbone: Backbone) -> str:
    """Make a store with two tasks of acme; return a key that may only infer."""
    registry = open_registry(folder)
    registry.ensure_tenant("acme")
    put(registry, "acme/mood", make_prefix(backbone.fingerprint, seed=1))
    names = make_prefix(backbone.fingerprint, seed=2, task_type="token_classification")
    put(registry, "acme/names", names)
    key = ApiKeys(registry.database).issue("acme", "test", role="infer").key
    registry.close()
    return key


def lines_of(rows: list[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def wait_for(sender: httpx.Client, path: str, *, state: str = "succeeded") -> dict[str, Any]:
    deadline = time.monotonic() + 600
    while True:
        shown: dict[str, Any] = sender.get(path).json()
        if shown["state"] not in {"queued", "running"}:
            assert shown["state"] == state, shown
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


@pytest.fixture(scope="module")
def sender(
    backbone: Backbone, backbone_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    store = tmp_path_factory.mktemp("batches") / "store"
    key = new_store(store, backbone)
    flags = ("--backbone", str(backbone_folder), "--num-front-ends", "1")
    with server_process(store, *flags) as (_, url), client(url, key) as sender:
        yield sender


def test_results_are_those_of_predict_in_the_order_of_the_rows(sender: httpx.Client) -> None:
    rows = [
        {"id": number, "text": f"good film {number}", "model": ("mood", "names")[number % 2]}
        for number in range(300)
    ]
    added = sender.post(ROUTE, params={"top_k": 1}, content=lines_of(rows), headers=JSONL)
    assert added.status_code == 202, added.text
    links = added.json()["links"]
    assert added.headers["location"] == links["self"]
    shown = wait_for(sender, links["self"])
    assert (shown["num_rows"], shown["num_done"], shown["num_failed"]) == (300, 300, 0)
    response = sender.get(links["results"])
    results = [json.loads(line) for line in response.text.splitlines()]
    assert [one["id"] for one in results] == list(range(300))
    inputs = [{"text": row["text"], "model": row["model"]} for row in rows[:8]]
    predicted = sender.post("/v1/predict", json={"input": inputs, "top_k": 1}).json()["results"]
    for batch, direct in zip(results, predicted, strict=False):
        assert batch.pop("id") == direct["index"]
        for one in (batch, direct):
            for score in (*one.get("scores", ()), *one.get("entities", ())):
                score["score"] = pytest.approx(score["score"], abs=1e-4)
    assert results[:8] == predicted
    assert len(response.content) == shown["result_bytes"]


def test_a_download_continues_where_it_ended(sender: httpx.Client) -> None:
    rows = [{"text": "good", "model": "mood"}] * 20
    links = sender.post(ROUTE, content=lines_of(rows), headers=JSONL).json()["links"]
    wait_for(sender, links["self"])
    plain = {"Accept-Encoding": "identity"}
    whole = sender.get(links["results"], headers=plain).content
    rest = sender.get(links["results"], headers={**plain, "Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, whole[100:])
    beyond = sender.get(links["results"], headers={**plain, "Range": f"bytes={len(whole)}-"})
    assert beyond.status_code == 416


def test_parquet_is_answered_as_well(sender: httpx.Client) -> None:
    file = BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "text": ["good", None]}), file)
    kind = {"Content-Type": "application/vnd.apache.parquet"}
    links = sender.post(
        ROUTE, params={"model": "mood"}, content=file.getvalue(), headers=kind
    ).json()["links"]
    assert wait_for(sender, links["self"])["num_failed"] == 1
    first, second = map(json.loads, sender.get(links["results"]).text.splitlines())
    assert (first["id"], first["model"]) == ("a", "acme/mood@1")
    assert second["error"]["code"] == "input_rejected"
    damaged = sender.post(ROUTE, content=b"rows", headers=kind)
    assert (damaged.status_code, damaged.json()["code"]) == (422, "bad_upload")


def test_a_running_file_is_cancelled_and_keeps_its_results(sender: httpx.Client) -> None:
    rows = [{"text": f"good {number}", "model": "mood"} for number in range(200_000)]
    links = sender.post(ROUTE, content=lines_of(rows), headers=JSONL).json()["links"]
    while not sender.get(links["self"]).json()["num_done"]:
        time.sleep(0.1)
    assert sender.delete(links["self"]).json()["code"] == "batch_running"
    partial = sender.get(links["results"]).content
    assert sender.post(links["cancel"]).json()["is_cancelling"]
    shown = wait_for(sender, links["self"], state="cancelled")
    results = sender.get(links["results"]).content
    assert results.startswith(partial)
    assert results.count(b"\n") == shown["num_done"] < 200_000
    assert sender.delete(links["self"]).status_code == 204
    assert sender.get(links["results"]).status_code == 404


def test_a_body_that_is_not_a_batch_file_is_rejected_at_once(sender: httpx.Client) -> None:
    for how, part in (
        ({"content": b"{}"}, "Content-Type is missing"),
        ({"json": {}}, "application/json"),
        ({"content": b"", "headers": JSONL}, "empty"),
    ):
        refused = sender.post(ROUTE, **how)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_upload")
        assert part in refused.json()["detail"]
    wrong = sender.post(ROUTE, params={"top_k": 0}, content=b"1", headers=JSONL)
    assert wrong.json()["errors"][0]["field"] == "top_k"
    twice = sender.post(f"{ROUTE}?top_k=1&top_k=2", content=b"1", headers=JSONL)
    assert twice.status_code == 422
    assert "expected one value" in twice.json()["detail"]


def test_a_file_without_rows_fails_and_says_why(sender: httpx.Client) -> None:
    links = sender.post(ROUTE, content=b"\n \n", headers=JSONL).json()["links"]
    shown = wait_for(sender, links["self"], state="failed")
    assert shown["error"]["detail"] == "The file has no rows. Send at least one."
    assert sender.get(links["results"]).text == ""
    assert shown in sender.get(ROUTE).json()["batches"]


def test_each_row_is_answered_exactly_once_despite_kills(
    backbone: Backbone,
    backbone_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYPREFIX_MAX_INPUTS_PER_REQUEST", "2")  # so that it takes some seconds
    key = new_store(tmp_path, backbone)
    rows = [{"id": number, "text": f"good {number}"} for number in range(3000)]
    rows[5::50] = [{"id": number} for number in range(5, 3000, 50)]
    path, seen = "", b""
    flags = ("--backbone", str(backbone_folder))
    for _ in range(3):
        with server_process(tmp_path, *flags) as (process, url), client(url, key) as sender:
            if not path:
                query = {"model": "mood"}
                added = sender.post(ROUTE, params=query, content=lines_of(rows), headers=JSONL)
                path = added.json()["links"]["self"]
            num_before = seen.count(b"\n")
            while (shown := sender.get(path).json())["num_done"] == num_before:
                time.sleep(0.01)
            assert shown["state"] == "running", "it must be killed before its end"
            now_seen = sender.get(f"{path}/results").content
            process.kill()
            process.wait()
        assert now_seen.startswith(seen)
        seen = now_seen
    with server_process(tmp_path, *flags) as (_, url), client(url, key) as sender:
        assert wait_for(sender, path)["num_failed"] == 60
        results = sender.get(f"{path}/results").content
    assert results.startswith(seen)
    assert [json.loads(line)["id"] for line in results.splitlines()] == list(range(3000))
