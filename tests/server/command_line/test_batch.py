"""The command `batch`, with a server process on a tiny backbone."""

import json
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from tests.server.batch_files.test_service import new_store
from tests.server.command_line.caller import call
from tests.server.hosting.processes import server_process


def test_a_file_of_rows_becomes_a_file_of_results(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    key = new_store(tmp_path / "store", backbone)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "text": "good"}\n{"id": "b", "model": "missing", "text": "x"}\n')
    with server_process(tmp_path / "store", "--backbone", str(backbone_folder)) as (_, url):
        place = ("--url", url, "--key", key)
        done = call("batch", rows, "--task", "mood", "--top-k", "1", *place)
        assert done.code == 0, done.error
        assert done.output.endswith("rows.results.jsonl: 2 results, 1 of them errors\n")
        results = (tmp_path / "rows.results.jsonl").read_text().splitlines()
        first, second = map(json.loads, results)
        assert (first["id"], first["model"], len(first["scores"])) == ("a", "acme/mood@1", 1)
        assert (second["id"], second["error"]["code"]) == ("b", "prefix_not_found")
        other = tmp_path / "other.jsonl"
        shown = call("batch", rows, "--task", "mood", "--output", other, "--json", *place)
        assert (shown.code, json.loads(shown.output)["num_failed"]) == (0, 1)
        assert len(other.read_text().splitlines()) == 2
        rows.write_text("\n")
        failed = call("batch", rows, *place)
        assert failed.code != 0
        assert "The file has no rows" in failed.error
    assert call("batch", tmp_path / "none.jsonl", *place).code == 1
