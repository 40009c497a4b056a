"""With a read-only file system, a server needs its store folder and a temporary folder only."""

import json
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.hosting.processes import client, server_process, store, upload

__all__ = ["store"]

NAMESPACE = ("unshare", "--mount", "sh", "-euc")
READ_ONLY = "mount --make-rprivate / && mount -o remount,bind,ro /"


def may_mount() -> bool:
    try:
        command = [*NAMESPACE, READ_ONLY]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not may_mount(), reason="needs root on Linux, and `unshare` of util-linux, to mount"
)


def read_only_except(*folders: Path, temporary: Path) -> tuple[str, ...]:
    """A command that runs another one with everything but these folders read-only."""
    mounts = [f"mount --bind {path} {path}" for path in map(shlex.quote, map(str, folders))]
    variables = {"TMPDIR": temporary, "MPLCONFIGDIR": temporary / "mpl", "HOME": "/nonexistent"}
    setting = shlex.join(f"{name}={value}" for name, value in variables.items())
    script = " && ".join([*mounts, READ_ONLY, f'exec env {setting} "$@"'])
    return (*NAMESPACE, script, "-")


def test_a_server_works_on_a_read_only_file_system(
    store: tuple[Path, str], backbone_folder: Path, backbone: Backbone, tmp_path: Path
) -> None:
    folder, key = store
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    limited = read_only_except(folder, temporary, temporary=temporary)
    prefix = make_prefix(backbone.fingerprint)
    before = files_outside(tmp_path, folder, temporary)
    with (
        server_process(folder, "--backbone", str(backbone_folder), prefix=limited) as (_, url),
        client(url, key) as caller,
    ):
        assert upload(caller, "mood", prefix.to_bytes()).status_code == 201
        answer = caller.post("/v1/classify", json={"model": "mood", "input": "good"})
        assert answer.status_code == 200, answer.text
        assert '"succeeded"' in train(caller)
    assert files_outside(tmp_path, folder, temporary) == before


def train(caller: httpx.Client) -> str:
    """Train on the server until the end; gives its events."""
    texts = ("good", "bad") * 40
    rows = "".join(json.dumps({"text": text, "label": text}) + "\n" for text in texts)
    training = caller.post(
        "/v1/tenants/acme/trainings",
        data={"task": "topics", "config": '{"max_steps": 2}'},
        files={"file": ("rows.jsonl", rows)},
    )
    assert training.status_code == 202, training.text
    return caller.get(f"{training.json()['links']['self']}/events").text


def files_outside(folder: Path, *excluded: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not set(excluded) & {path, *path.parents}}
