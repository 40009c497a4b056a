"""Batch files with the client: a server process with a tiny backbone."""

import json
from pathlib import Path

import pytest

from polyprefix_client import BatchFailed, Client, NotFound
from polyprefix_client.batches import Batch, LineSplitter
from polyprefix_client.conversion import from_json
from prefixes.backbone import Backbone
from tests.server.batch_files.test_service import new_store
from tests.server.hosting.processes import server_process


def test_a_file_is_answered_and_its_results_are_read_and_downloaded(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    key = new_store(tmp_path / "store", backbone)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"id": {number}, "text": "good"}}\n' for number in range(40)) + "{")
    with (
        server_process(tmp_path / "store", "--backbone", str(backbone_folder)) as (_, url),
        Client(url, key, timeout=60) as client,
    ):
        added = client.batches.add(rows, model="mood", top_k=1)
        assert (added.state, added.options) == ("queued", {"top_k": 1})
        seen: list[Batch] = []
        done = client.batches.wait(added.id, on_progress=seen.append)
        assert (done.num_rows, done.num_done, done.num_failed) == (41, 41, 1)
        assert seen[-1] == done
        results = list(client.batches.results(added.id))
        assert [one.get("id") for one in results] == [*range(40), None]
        assert results[40]["error"]["code"] == "invalid_request"
        client.batches.download(added.id, tmp_path / "results.jsonl")
        lines = (tmp_path / "results.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == results
        assert [one.id for one in client.batches.list()] == [added.id]
        assert client.batches.cancel(added.id) == done
        client.batches.delete(added.id)
        with pytest.raises(NotFound):
            client.batches.show(added.id)
        rows.write_text("\n")
        with pytest.raises(BatchFailed, match="has no rows"):
            client.batches.wait(client.batches.add(rows).id)


def test_a_broken_download_continues_after_the_last_byte() -> None:
    splitter = LineSplitter()
    assert splitter.headers() == {}
    assert list(splitter.feed(b"one\ntw")) == [b"one"]
    assert splitter.headers() == {"Range": "bytes=6-"}
    assert list(splitter.feed(b"o\n\n")) == [b"two", b""]


def test_an_error_without_some_members_is_read() -> None:
    members: dict[str, object] = dict.fromkeys(
        ("model", "started_at", "ended_at", "num_rows"), None
    )
    members |= dict.fromkeys(("id", "tenant", "format"), "x")
    members |= dict.fromkeys(("num_done", "num_failed", "result_bytes"), 0)
    members |= {"options": {}, "state": "failed", "is_cancelling": False}
    members |= {"created_at": "2026-11-30T00:00:00Z", "error": {"detail": "The disk is full."}}
    error = from_json(Batch, members).error
    assert error is not None
    assert (error.status, error.detail) == (0, "The disk is full.")
