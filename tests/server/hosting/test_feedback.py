"""Recorded answers of a server that is killed."""

import time
from pathlib import Path

import httpx

from prefixes.backbone import Backbone
from server.engine.recording.writer import SECONDS_BETWEEN_WRITES
from tests.factories import make_prefix
from tests.server.hosting.processes import client, front_ends, server_process, store, upload

__all__ = ["front_ends", "store"]


def ask(sender: httpx.Client, request_id: str) -> None:
    body = {"model": "mood", "input": "good film"}
    headers = {"X-Request-Id": request_id}
    assert sender.post("/v1/classify", json=body, headers=headers).status_code == 200


def give(sender: httpx.Client, request_id: str) -> int:
    body = {"request_id": request_id, "label": "good"}
    return sender.post("/v1/feedback", json=body).status_code


def test_a_server_that_is_killed_loses_at_most_the_answers_of_the_last_seconds(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    front_ends: tuple[str, ...],
) -> None:
    folder, key = store
    flags = ("--backbone", str(backbone_folder), *front_ends)
    with server_process(folder, *flags) as (process, url), client(url, key) as sender:
        data = make_prefix(backbone.fingerprint).to_bytes()
        assert upload(sender, "mood", data).status_code == 201
        rule = {"is_enabled": True}
        assert sender.put("/v1/tenants/acme/feedback", json=rule).status_code == 200
        ask(sender, "early")
        ask(sender, "labeled")
        assert give(sender, "labeled") == 200
        asked = time.monotonic()
        while sender.get("/v1/tenants/acme/feedback").json()["num_answers"] < 2:
            assert time.monotonic() < asked + 20 * SECONDS_BETWEEN_WRITES
            time.sleep(0.1)
        ask(sender, "last")
        process.kill()
    with server_process(folder, *flags) as (_, url), client(url, key) as sender:
        assert give(sender, "early") == 200
        assert give(sender, "last") in {200, 404}
        state = sender.get("/v1/tenants/acme/feedback").json()
        assert state["num_with_feedback"] >= 2
