"""A training on feedback, from the answers to the published version."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from server.api.training_feedback import _config_of
from tests.factories import make_prefix, make_spec
from tests.server.hosting.processes import client, server_process, store, upload
from tests.server.training_jobs.trainings import QUICK, ROUTE, wait_for
from tests.training.learnable_tasks import sentiment_rows, write_csv

__all__ = ["store"]


def give_feedback(sender: httpx.Client, rows: list[dict[str, Any]]) -> None:
    texts = [row["text"] for row in rows]
    headers = {"X-Request-Id": "sentiments"}
    body = {"model": "mood", "input": texts}
    assert sender.post("/v1/classify", json=body, headers=headers).status_code == 200
    for index, row in enumerate(rows):
        right = {"request_id": "sentiments", "index": index, "label": row["label"]}
        response = sender.post("/v1/feedback", json=right)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("use", ["only", "add"])
def test_feedback_becomes_a_better_version(
    store: tuple[Path, str], backbone: Backbone, backbone_folder: Path, tmp_path: Path, use: str
) -> None:
    folder, key = store
    uploaded = write_csv(tmp_path / "rows.csv", sentiment_rows(20, seed=1)).read_bytes()
    with (
        server_process(folder, "--backbone", str(backbone_folder)) as (_, url),
        client(url, key) as sender,
    ):
        assert upload(sender, "mood", make_prefix(backbone.fingerprint).to_bytes()).is_success
        rule = {"is_enabled": True}
        assert sender.put("/v1/tenants/acme/feedback", json=rule).is_success
        give_feedback(sender, sentiment_rows(40))
        parts: dict[str, Any] = {
            "task": (None, "mood"),
            "feedback": (None, use),
            "config": (None, json.dumps(QUICK)),
        }
        if use == "add":
            parts["file"] = ("rows.csv", uploaded)
        started = sender.post(ROUTE, files=parts)
        assert started.status_code == 202, started.text
        ended = wait_for(sender, started.json()["links"]["self"], "succeeded")
        assert ended["result"]["ref"] == "acme/mood@2"
        train = ended["data_summary"][0]
        origin = "train.csv and feedback.jsonl" if use == "add" else "train.jsonl"
        assert f"rows of {origin}; " in train


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "prefix"),
        ({"method": "vectors", "prefix_length": 0, "position_offset": 0}, None),
        ({"method": "head", "prefix_length": 0, "position_offset": 0}, None),
    ],
)
def test_feedback_trains_a_prefix_only_if_the_live_version_is_one(
    backbone: Backbone, changes: dict[str, Any], method: str | None
) -> None:
    assert _config_of(make_spec(backbone.fingerprint, **changes)).get("method") == method
