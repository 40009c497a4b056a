"""Trainings as a tenant meets them: a server process, real workers, a tiny backbone."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.server.hosting.processes import client, is_running, server_process, store, upload
from tests.server.rest import until
from tests.server.training_jobs.trainings import (
    LONG,
    QUICK,
    ROUTE,
    SECONDS,
    start_training,
    wait_for,
    worker_of,
)
from tests.training.learnable_tasks import sentiment_rows, write_csv

__all__ = ["store"]


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, backbone_folder: Path
) -> Iterator[tuple[httpx.Client, httpx.Client, Path]]:
    """A server for all tests that do not end it: clients of two tenants, and its folder."""
    folder = tmp_path_factory.mktemp("shared")
    registry = open_registry(folder)
    keys = []
    for tenant in ("acme", "zoo"):
        registry.ensure_tenant(tenant)
        keys.append(ApiKeys(registry.database).issue(tenant, "test").key)
    registry.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYPREFIX_MAX_QUEUED_TRAININGS_PER_TENANT", "1")
        with (
            server_process(folder, "--backbone", str(backbone_folder)) as (_, url),
            client(url, keys[0]) as sender,
            client(url, keys[1]) as stranger,
        ):
            patch.undo()  # it has started: other servers shall have their own bounds
            yield sender, stranger, folder


@pytest.fixture
def rows(tmp_path: Path) -> bytes:
    return write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()


def test_a_csv_becomes_a_live_endpoint_through_one_call_to_a_front_end(
    store: tuple[Path, str], backbone_folder: Path, rows: bytes
) -> None:
    folder, key = store
    flags = ("--backbone", str(backbone_folder), "--num-front-ends", "1")
    with server_process(folder, *flags) as (process, url), client(url, key) as sender:
        asked = start_training(sender, rows, QUICK)
        assert asked.status_code == 202, asked.text
        links = asked.json()["links"]
        assert asked.headers["location"] == links["self"]
        events = sender.get(links["events"]).text  # ends when the training has
        ended = wait_for(sender, links["self"], "succeeded")
        assert ended["result"]["is_promoted"]
        assert ended["progress"]["step"] == ended["progress"]["total_steps"]
        answer = sender.post("/v1/classify", json={"model": "mood", "input": "the film is good"})
        assert answer.json()["results"][0]["model"] == ended["result"]["ref"]
        kinds = [
            events.index(f"event: {kind}\n") for kind in ("data_summary", "warnings", "progress")
        ]
        assert kinds == sorted(kinds)
        train, validation = ended["data_summary"]
        assert train.endswith(
            "of train.csv; text from column 'text'; "
            "one label per row from column 'label' (2 labels: 'bad', 'good')"
        )
        assert validation.startswith("validation: ")
        report = sender.get(links["report"]).json()
        assert report["data"]["summary"] == ended["data_summary"]
        assert any("repeat an earlier one" in warning for warning in ended["warnings"])
        assert set(ended["warnings"]) <= set(ended["result"]["warnings"])
        assert "event: evaluation\n" in events
        assert '"state":"succeeded"' in events
        assert sender.get(links["report"]).json()["run"] == "acme/mood"
        assert sender.get(links["curve"]).content.startswith(b"\x89PNG")
        assert str(folder) not in sender.get(links["report"]).text

        last = [line for line in events.splitlines() if line.startswith("id: ")][-1]
        rest = sender.get(links["events"], headers={"Last-Event-ID": last.removeprefix("id: ")})
        assert "event: evaluation" not in rest.text

        # The same training again does not improve: it is published, but not promoted.
        again = wait_for(
            sender, start_training(sender, rows, QUICK).json()["links"]["self"], "succeeded"
        )
        assert again["result"]["live"] == again["result"]["new"]
        assert not again["result"]["is_promoted"]
        assert again["result"]["version"] == 2
        shown = sender.get("/v1/tenants/acme/prefixes/mood").json()
        assert shown["aliases"][0]["version"] == 1
        assert 'polyprefix_trainings_total{state="succeeded"} 2.0' in sender.get("/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_labels_alone_become_a_live_endpoint_that_rows_improve(
    shared: tuple[httpx.Client, httpx.Client, Path],
) -> None:
    sender, _, _ = shared
    labels = {"labels": ["good film", "bad river", "Übriges"]}

    def fit(config: Mapping[str, object], rows: bytes | None = None) -> dict[str, Any]:
        form = {"task": (None, "triage"), "config": (None, json.dumps(config))}
        file = {} if rows is None else {"file": ("rows.csv", rows)}
        asked = sender.post(ROUTE, files={**form, **file})
        assert asked.status_code == 202, asked.text
        return wait_for(sender, asked.json()["links"]["self"], "succeeded")

    first = fit(labels)["result"]
    assert (first["is_promoted"], first["new"], first["num_rows"]) == (True, None, 0)
    body = {"model": "triage", "input": "This text is about bad river."}
    (answer,) = sender.post("/v1/classify", json=body).json()["results"]
    assert answer["label"] == "bad river"

    again = fit(labels)["result"]
    assert not again["is_promoted"]
    assert "could not be compared with version 1" in again["reason"]

    rows = "text,label\n" + "".join(
        f"the {word} {number} is here,{label}\n"
        for label, word in {"good film": "prize", "bad river": "train", "Übriges": "card"}.items()
        for number in range(6)
    )
    ended = fit(labels, rows.encode())
    second = ended["result"]
    assert (second["measured_on"], second["num_rows"]) == ("cross_validation", 18)
    assert second["new"] > second["live"]
    assert second["is_promoted"]
    assert "on 18 cross-validation rows" in second["reason"]
    report = sender.get(ended["links"]["report"]).json()
    assert report["config"]["method"] == "few_shot"
    assert ended["data_summary"] == report["data"]["summary"]
    assert sender.get(ended["links"]["curve"]).status_code == 404


@pytest.mark.parametrize(
    ("config", "code", "place"),
    [
        pytest.param({}, "bad_upload", None, id="neither-rows-nor-labels"),
        pytest.param({"labels": ["a"]}, "invalid_request", "config", id="one-label"),
        pytest.param({"labels": ["a", "a"]}, "invalid_request", "config", id="twice"),
        pytest.param(
            {"labels": ["a", "b"], "epochs": 2, "method": "prefix"},
            "invalid_request",
            "config",
            id="a-prefix-without-rows",
        ),
    ],
)
def test_labels_that_make_no_task_are_rejected_at_once(
    shared: tuple[httpx.Client, httpx.Client, Path],
    config: dict[str, object],
    code: str,
    place: str | None,
) -> None:
    sender, _, _ = shared
    form = {"task": (None, "triage"), "config": (None, json.dumps(config))}
    refused = sender.post(ROUTE, files=form)
    problem = refused.json()
    assert refused.status_code in {400, 422}
    assert problem["code"] == code
    assert [one["field"] for one in problem.get("errors", [])] == ([place] if place else [])


def test_rows_without_labels_fail_with_their_lines_and_invalid_forms_are_rejected_at_once(
    shared: tuple[httpx.Client, httpx.Client, Path], rows: bytes
) -> None:
    sender, _, folder = shared
    bad = start_training(sender, rows + b"no label,\r\n", QUICK)
    error = wait_for(sender, bad.json()["links"]["self"], "failed")["error"]
    assert (error["code"], error["status"]) == ("data_rejected", 422)
    assert error["errors"][0]["field"] == "train, line 62"

    refused = start_training(sender, rows, {"learning_rat": 1})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "config.learning_rat"
    assert start_training(sender, b"", QUICK).json()["code"] == "bad_upload"
    form = {"task": "mood"}
    unknown = sender.post(ROUTE, files={"file": ("rows.pkl", rows)}, data=form)
    assert unknown.json()["code"] == "bad_upload"
    assert start_training(sender, rows, QUICK, margin="-1").json()["errors"][0]["field"] == "margin"
    assert start_training(sender, rows, QUICK, task="../up").json()["code"] == "invalid_name"
    kept = {path.name for path in (folder / "trainings").iterdir()}
    assert kept == {one["id"] for one in sender.get(ROUTE).json()["trainings"]}


def test_others_than_the_tenant_get_the_same_response_for_any_training(
    shared: tuple[httpx.Client, httpx.Client, Path], rows: bytes
) -> None:
    sender, stranger, _ = shared
    path = start_training(sender, rows, LONG).json()["links"]["self"]
    there, not_there = stranger.get(path), stranger.get(f"{ROUTE}/{'0' * 24}")
    assert there.status_code == not_there.status_code == 404
    assert there.json() == not_there.json()
    assert stranger.post(f"{path}/cancel").status_code == 404
    assert start_training(stranger, rows, LONG).status_code == 404
    nobody = sender.build_request("GET", path)
    del nobody.headers["authorization"]
    assert sender.send(nobody).status_code == 401
    assert sender.post(f"{path}/cancel").status_code == 200


def test_the_queue_is_bounded_and_queued_or_running_trainings_can_be_cancelled(
    shared: tuple[httpx.Client, httpx.Client, Path], rows: bytes
) -> None:
    sender, _, _ = shared
    running = start_training(sender, rows, LONG).json()["links"]["self"]
    wait_for(sender, running, "running")
    waiting = start_training(sender, rows, LONG).json()["links"]["self"]
    full = start_training(sender, rows, LONG)
    assert full.status_code == 429
    assert full.headers["retry-after"]
    assert sender.post(f"{waiting}/cancel").json()["state"] == "cancelled"
    sender.post(f"{running}/cancel")
    wait_for(sender, running, "cancelled")
    listed = sender.get(ROUTE, params={"limit": 1}).json()
    assert [one["links"]["self"] for one in listed["trainings"]] == [waiting]
    assert sender.get(listed["next"]).json()["trainings"][0]["links"]["self"] == running


def test_a_server_that_was_killed_resumes_its_training_at_the_next_start(
    store: tuple[Path, str], backbone_folder: Path, rows: bytes
) -> None:
    folder, key = store
    flags = ("--backbone", str(backbone_folder))
    with server_process(folder, *flags) as (process, url), client(url, key) as sender:
        path = start_training(sender, rows, {**LONG, "max_steps": 3000}).json()["links"]["self"]
        waiting = start_training(sender, rows, LONG).json()["links"]["self"]
        before = wait_for(sender, path, "running")["progress"]["step"]
        worker = worker_of(path)
        assert worker is not None
        process.kill()
        process.wait()
        # It stops by itself, with a checkpoint.
        until(lambda: not is_running(worker), seconds=SECONDS)
    assert list(folder.glob("trainings/*/out/checkpoint.pt"))
    with server_process(folder, *flags) as (_, url), client(url, key) as sender:
        wait_for(sender, path, "running")
        assert sender.get(waiting).json()["state"] == "queued"
        lines = (folder / path[1:].replace("v1/tenants/acme/", "") / "events.jsonl").read_text()
        events = [json.loads(line) for line in lines.splitlines() if line]
        steps = [event["step"] for event in events if "step" in event]
        assert steps == sorted(steps)  # it never began again
        assert steps[-1] >= before


def test_a_worker_that_is_killed_is_replaced_once(
    shared: tuple[httpx.Client, httpx.Client, Path], rows: bytes
) -> None:
    sender, _, _ = shared
    path = start_training(sender, rows, LONG).json()["links"]["self"]
    wait_for(sender, path, "running")
    first = worker_of(path)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: worker_of(path) not in {None, first}, seconds=SECONDS)
    second = worker_of(path)
    assert second is not None
    os.kill(second, signal.SIGKILL)
    error = wait_for(sender, path, "failed")["error"]
    assert error["code"] == "training_failed"


def test_a_version_that_was_promoted_during_the_training_stays_live(
    shared: tuple[httpx.Client, httpx.Client, Path], backbone: Backbone, rows: bytes
) -> None:
    sender, _, _ = shared
    path = start_training(sender, rows, {**LONG, "max_steps": 600}, task="meanwhile").json()[
        "links"
    ]["self"]
    wait_for(sender, path, "running")
    data = make_prefix(backbone.fingerprint, seed=1).to_bytes()
    assert upload(sender, "meanwhile", data).status_code == 201  # its first version: it is live
    result = wait_for(sender, path, "succeeded")["result"]
    assert not result["is_promoted"]
    assert "another version is live now" in result["reason"]
    shown = sender.get("/v1/tenants/acme/prefixes/meanwhile").json()
    assert shown["aliases"][0]["version"] == 1
