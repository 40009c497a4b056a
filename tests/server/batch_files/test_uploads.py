"""Uploads of batch files in one process."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.api import batch_uploads
from tests.server.conftest import Serve


def test_at_most_two_parquet_files_are_checked_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, _ = serve()
    lock, pair = threading.Lock(), threading.Barrier(2, timeout=30)
    running, counts = set[Path](), list[int]()

    def check(path: Path) -> None:
        with lock:
            running.add(path)
            counts.append(len(running))
        pair.wait()
        time.sleep(0.2)
        with lock:
            running.remove(path)

    monkeypatch.setattr(batch_uploads, "check_parquet", check)

    def send(_: int) -> int:
        kind = {"Content-Type": "application/vnd.apache.parquet"}
        return rest.call("POST", "/v1/batches", "acme", content=b"rows", headers=kind).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))) == [202] * 4
    assert max(counts) == 2
