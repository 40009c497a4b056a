"""Faults of the disk and of the database: a clear error for what they affect, and the rest serves.

Each server recovers without a restart. `test_full_disk.py` has full disks.
"""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from prefixes import digest_of
from prefixes.backbone import Backbone
from prefixes.registry import sqlite
from tests.factories import make_prefix
from tests.server.hosting.processes import client, server_process, store, upload
from tests.server.rest import Rest, put, serving
from tests.server.test_bad_requests import check_problem

__all__ = ["store"]

TASK = "/v1/tenants/acme/prefixes/mood"
SPAM = "/v1/tenants/acme/prefixes/spam"


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rest]:
    """A server whose changes wait half a second for the lock of another program, not 20."""
    shorter = ("PRAGMA busy_timeout = 500", *sqlite._PRAGMAS[1:])
    monkeypatch.setattr(sqlite, "_PRAGMAS", shorter)
    with serving(tmp_path / "store", backbone) as running:
        yield running


def classify(rest: Rest, model: str, key: str | None = "acme") -> httpx.Response:
    return rest.call("POST", "/v1/classify", key, json={"model": model, "input": "good"})


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing"])
def test_a_damaged_file_fails_alone_and_an_upload_repairs_it(
    rest: Rest, backbone: Backbone, damage: str
) -> None:
    prefix = make_prefix(backbone.fingerprint, seed=60)
    put(rest.registry, "acme/spam", prefix)  # an upload would also load it onto the device
    data = prefix.to_bytes()
    path = rest.folder / "blobs" / digest_of(data)[:2] / digest_of(data)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "truncated" else data[:-1] + b"\x7f")

    status, code = (503, "store_unavailable") if damage == "missing" else (500, "store_corrupted")
    check_problem(classify(rest, "spam"), status, code)
    check_problem(rest.call("GET", f"{SPAM}/versions/1/file", "acme"), status, code)
    assert classify(rest, "mood").status_code == 200
    assert rest.call("GET", "/readyz").status_code == 200

    assert rest.upload("acme/spam", data, by="acme").status_code == 200
    assert classify(rest, "spam").status_code == 200


def test_a_locked_database_rejects_changes_only(rest: Rest) -> None:
    with closing(sqlite3.connect(rest.folder / "registry.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for method, path, key, body in (
            ("PUT", f"{TASK}/aliases/live", "acme", {"version": 1}),
            ("POST", "/v1/tenants/acme/keys", "operator", {"role": "infer"}),
            ("PUT", f"{TASK}/readers/zoo", "acme", None),
        ):
            response = rest.call(method, path, key, json=body)
            check_problem(response, 503, "store_unavailable")
            assert response.headers["retry-after"]
        assert classify(rest, "mood").status_code == 200
        assert rest.call("GET", TASK, "acme").status_code == 200
        assert rest.call("GET", "/readyz").status_code == 200
        other.execute("ROLLBACK")
    body = {"version": 1}
    assert rest.call("PUT", f"{TASK}/aliases/live", "acme", json=body).status_code == 200


@pytest.mark.parametrize("num_bytes", [0, 5000])
def test_a_truncated_database_is_reported_until_its_content_is_back(
    rest: Rest, num_bytes: int
) -> None:
    assert classify(rest, "mood").status_code == 200
    path = rest.folder / "registry.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(num_bytes)

    check_problem(rest.call("GET", "/v1/tenants/acme/prefixes", "acme"), 503, "store_unavailable")
    check_problem(rest.call("GET", "/readyz"), 503, "not_ready")
    assert rest.call("GET", "/livez").status_code == 200
    assert classify(rest, "mood").status_code in {200, 503}

    with path.open("r+b") as file:  # in place: open connections keep using this file
        file.write(content)
    assert rest.call("GET", "/readyz").status_code == 200
    assert classify(rest, "mood").status_code == 200
    body = {"version": 1}
    assert rest.call("PUT", f"{TASK}/aliases/live", "acme", json=body).status_code == 200


def test_a_folder_that_is_not_writable_rejects_uploads_only(
    store: tuple[Path, str], backbone: Backbone, backbone_folder: Path
) -> None:
    folder, key = store
    files = [make_prefix(backbone.fingerprint, seed=seed).to_bytes() for seed in (1, 2)]
    with (
        server_process(folder, "--backbone", str(backbone_folder), prefix=_obeying_modes()) as (
            _,
            url,
        ),
        client(url, key) as sender,
    ):
        assert upload(sender, "mood", files[0]).status_code == 201
        for name in ("staging", "blobs"):
            (folder / name).chmod(0o500)
            check_problem(upload(sender, "mood", files[1]), 503, "store_unavailable")
            body = {"model": "mood", "input": "good"}
            assert sender.post("/v1/classify", json=body).status_code == 200
            assert sender.get("/readyz").status_code == 200
            (folder / name).chmod(0o700)
        assert upload(sender, "mood", files[1]).status_code == 201


def _obeying_modes() -> tuple[str, ...]:
    """Return a command that runs another one without root's right to ignore modes of files."""
    if shutil.which("setpriv") is None:
        pytest.skip("the command `setpriv` is not installed")
    without = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    check = (sys.executable, "-c", "")
    if subprocess.run([*without, *check], capture_output=True, check=False).returncode:
        pytest.skip("`setpriv` cannot drop the right to ignore modes of files")
    return without
