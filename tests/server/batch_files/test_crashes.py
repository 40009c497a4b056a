"""Rows that kill the process: how often a file may do so."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from prefixes.backbone import Backbone
from server.batch_files.crashes import CrashJournal
from server.batch_files.errors import BatchFailed
from tests.server.batch_files.test_service import JSONL, ROUTE, lines_of, new_store, wait_for
from tests.server.hosting.processes import ROOT, SERVE, client, server_process

_LETHAL_TOKENIZER: Final = """
import os, signal
from prefixes.backbone import TextEncoder

encode = TextEncoder.encode_together

def encode_or_kill(self, jobs):
    if any("lethal" in str(fields) for job in jobs for fields in job.inputs):
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(self, jobs)

TextEncoder.encode_together = encode_or_kill
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crashes.json"


def kills_until_failed(path: Path, row: int, *, max_rows: int = 8) -> int:
    """Run from row 0 on, and kill at a row, until it is marked as failed. Count the kills."""
    kills = 0
    while row not in (journal := CrashJournal.open(path)).failed:
        kills += 1
        index = 0
        while index <= row:  # no checkpoint is saved meanwhile
            is_alone = journal.must_run_alone(index)
            end = index + (1 if is_alone else max_rows)
            journal.begin(index if is_alone else 0, end)
            index = end
    journal.close()
    return kills


def test_a_row_that_kills_is_found_at_the_third_kill(path: Path) -> None:
    assert kills_until_failed(path, 21) == 3
    assert CrashJournal.open(path).failed == (21,)


def test_a_file_may_kill_for_three_rows(path: Path) -> None:
    for row in (5, 50, 500):
        assert kills_until_failed(path, row) <= 3
    with pytest.raises(BatchFailed, match="at row 501"):
        kills_until_failed(path, 501)


def test_a_file_fails_when_it_kills_before_its_first_row(path: Path) -> None:
    for _ in range(5):
        CrashJournal.open(path)
    with pytest.raises(BatchFailed, match="5 times"):
        CrashJournal.open(path)


def test_runs_that_end_in_order_are_not_kills(path: Path) -> None:
    for _ in range(9):
        journal = CrashJournal.open(path)
        journal.begin(0, 8)
        journal.close()
    assert not CrashJournal.open(path).must_run_alone(0)


def test_kills_between_which_the_file_goes_on_fail_no_row(path: Path) -> None:
    for first in range(0, 900, 10):
        journal = CrashJournal.open(path)
        assert not journal.failed
        journal.begin(first, first + 8)


def test_an_empty_journal_is_a_new_one(path: Path) -> None:
    path.write_bytes(b"")
    assert CrashJournal.open(path).failed == ()


def test_a_row_that_kills_the_server_fails_and_the_others_are_answered(
    backbone: Backbone, backbone_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_LETHAL_TOKENIZER)
    prefix = ("env", f"PYTHONPATH={tmp_path}{os.pathsep}{ROOT}")
    store = tmp_path / "store"
    key = new_store(store, backbone)
    rows = [{"id": number, "text": f"good {number}"} for number in range(40)]
    rows[17]["text"] = "a lethal text"
    flags = ("--backbone", str(backbone_folder))
    with (
        server_process(store, *flags, prefix=prefix) as (process, url),
        client(url, key) as sender,
    ):
        query = {"model": "mood"}
        added = sender.post(ROUTE, params=query, content=lines_of(rows), headers=JSONL).json()
        assert process.wait(300) == -signal.SIGKILL
    command = [*prefix, *SERVE, "--port", "0", "--store-folder", str(store), *flags]
    for _ in range(2):
        assert subprocess.run(command, check=False, timeout=300).returncode == -signal.SIGKILL
    with server_process(store, *flags, prefix=prefix) as (_, url), client(url, key) as sender:
        assert wait_for(sender, added["links"]["self"])["num_failed"] == 1
        results = sender.get(added["links"]["results"]).text.splitlines()
    found = list(map(json.loads, results))
    assert [one["id"] for one in found] == list(range(40))
    assert [one["id"] for one in found if "error" in one] == [17]
    assert found[17]["error"]["code"] == "inference_failed"
