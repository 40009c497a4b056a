"""`polyprefix doctor`: the cause and the cure of each fault that it knows."""

import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import torch

from prefixes.backbone import Backbone, load_backbone
from prefixes.disk import make_folder
from prefixes.registry import BucketSettings, open_registry, open_store
from server.api.status import program_version
from server.command_line.diagnosis import machine, stores
from server.command_line.diagnosis.machine import check_device, check_distributions
from server.command_line.diagnosis.servers import check_clock, check_versions
from tests.factories import make_backbone_folder, make_prefix
from tests.prefixes.old_databases import downgrade
from tests.seaweedfs import SeaweedServer, settings_of
from tests.server.command_line.caller import call
from tests.server.conftest import rest
from tests.server.rest import Rest, new_registry, on_a_port, put

__all__ = ["rest"]


@pytest.fixture(autouse=True)
def _without_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("POLYPREFIX_URL", "POLYPREFIX_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


class Report(NamedTuple):
    """The results of the checks by name, and the exit code."""

    results: dict[str, dict[str, str]]
    code: int

    def state(self, check: str) -> str:
        return self.results[check]["state"]

    def text(self, check: str) -> str:
        return f"{self.results[check]['found']} {self.results[check]['cure']}"


def diagnose(folder: Path, backbone: Path, *flags: object) -> Report:
    """Run the command with a free port, unless the flags name one."""
    port = () if "--port" in flags else ("--port", _free_port())
    fixed = ("--store-folder", folder / "var", "--backbone", backbone, "--json")
    done = call("doctor", *fixed, *port, *flags)
    return Report({result["check"]: result for result in json.loads(done.output)}, done.code)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_healthy_machine_has_no_problem(tmp_path: Path, backbone_folder: Path) -> None:
    report = diagnose(tmp_path, backbone_folder)
    assert report.code == 0
    assert {result["state"] for result in report.results.values()} <= {"ok", "warning", "skipped"}
    assert not (tmp_path / "var").exists(), "the checks change nothing"


def test_a_missing_folder_of_the_backbone(tmp_path: Path) -> None:
    report = diagnose(tmp_path, tmp_path / "nowhere")
    assert report.code == 1
    assert report.state("backbone") == "problem"
    assert "nowhere" in report.text("backbone")
    assert "POLYPREFIX_BACKBONE" in report.text("backbone")
    assert report.state("prefixes") == "skipped"


def test_invalid_settings(
    tmp_path: Path, backbone_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYPREFIX_MAX_BATCH_TOKENS", "many")
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("settings")) == (1, "problem")
    assert "POLYPREFIX_MAX_BATCH_TOKENS" in report.text("settings")


def test_a_port_that_another_program_uses(tmp_path: Path, backbone_folder: Path) -> None:
    async def other(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    with on_a_port(other, lifespan="off") as url:
        report = diagnose(tmp_path, backbone_folder, "--port", url.rpartition(":")[2])
    assert (report.code, report.state("port")) == (1, "problem")
    assert "it is in use" in report.text("port")
    assert "--port" in report.text("port")


def test_a_port_that_polyprefix_uses(tmp_path: Path, backbone_folder: Path, rest: Rest) -> None:
    report = diagnose(tmp_path, backbone_folder, "--port", rest.url.rpartition(":")[2])
    assert report.state("port") == "warning"
    assert f"polyprefix {program_version()} already listens" in report.text("port")


def test_a_store_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(**_: Any) -> None:  # root may write everywhere
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(tempfile, "TemporaryFile", reject)
    result = stores.check_folder(tmp_path / "var")
    assert result.state == "problem"
    assert f"Cannot write to {tmp_path}: Permission denied" in result.found
    assert "--store-folder" in result.cure


def test_a_store_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    result = stores.check_folder(tmp_path / "var" / "store")
    assert result.state == "problem"
    assert "is not a folder" in result.found


@pytest.mark.parametrize(("free", "state"), [(2**20, "problem"), (2**28, "warning"), (2**31, "ok")])
def test_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(free))
    assert stores.check_disk(tmp_path).state == state


def test_a_database_of_an_older_version(tmp_path: Path, backbone_folder: Path) -> None:
    open_registry(tmp_path / "var").close()
    downgrade(tmp_path / "var" / "registry.db", "0015")
    before = (tmp_path / "var" / "registry.db").read_bytes()
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("database")) == (0, "warning")
    assert "0015" in report.text("database")
    assert "backup" in report.text("database")
    assert report.state("prefixes") == "skipped"
    assert (tmp_path / "var" / "registry.db").read_bytes() == before


def test_a_database_of_a_newer_version(tmp_path: Path, backbone_folder: Path) -> None:
    with_database(tmp_path, "UPDATE alembic_version SET version_num = '9999'")
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("database")) == (1, "problem")
    assert "9999" in report.text("database")
    assert "Upgrade polyprefix" in report.text("database")


def with_database(folder: Path, statement: str) -> None:
    from sqlalchemy import text

    registry = open_registry(folder / "var")
    with registry.database.write() as connection:
        connection.execute(text(statement))
    registry.close()


def test_a_file_that_is_not_a_database(tmp_path: Path, backbone_folder: Path) -> None:
    make_folder(tmp_path / "var")
    (tmp_path / "var" / "registry.db").write_bytes(b"not a database" * 100)
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("database")) == (1, "problem")


def test_prefixes_of_another_backbone(
    tmp_path: Path, backbone_folder: Path, backbone: Backbone
) -> None:
    registry, _ = new_registry(tmp_path / "var")
    facts = backbone.fingerprint
    put(registry, "acme/fits", make_prefix(facts))
    other = facts.model_copy(update={"weights_sha256": "f" * 64})
    put(registry, "acme/foreign", make_prefix(other))
    registry.close()
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("prefixes")) == (1, "problem")
    assert report.text("prefixes").startswith("1 of 2 prefixes do not fit")
    assert "acme/foreign@1 (weights_sha256: trained on" in report.text("prefixes")


def test_prefixes_of_a_further_backbone_on_ray(
    tmp_path: Path, backbone_folder: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_backbone_folder(tmp_path / "other", "roberta", seed=1)
    registry, _ = new_registry(tmp_path / "var")
    put(registry, "acme/fits", make_prefix(backbone.fingerprint))
    put(registry, "acme/other", make_prefix(load_backbone(folder, device="cpu").fingerprint))
    registry.close()
    monkeypatch.setenv("POLYPREFIX_RAY_BACKBONES", f"{folder}=2")
    report = diagnose(tmp_path, backbone_folder)
    assert report.state("prefixes") == "ok", report.text("prefixes")


def test_a_gpu_that_does_not_exist(tmp_path: Path, backbone_folder: Path) -> None:
    report = diagnose(tmp_path, backbone_folder, "--device", "cuda:9")
    assert (report.code, report.state("device")) == (1, "problem")
    assert "cuda:9" in report.text("device")


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """A folder of PCI devices, as Linux shows a machine with an NVIDIA GPU."""
    folder = tmp_path / "devices"
    for name, facts in {
        "0000:00:00.0": ("0x8086", "0x060000"),
        "01": ("0x10de", "0x030200"),
    }.items():
        (folder / name).mkdir(parents=True)
        for file, fact in zip(("vendor", "class"), facts, strict=True):
            (folder / name / file).write_text(f"{fact}\n")
    return folder


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the GPU of this machine")
def test_a_gpu_without_a_driver(
    devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "NVIDIA_DRIVER", tmp_path / "absent")
    result = check_device("auto", devices=devices)
    assert result.state == "warning"
    assert "NVIDIA GPU that torch cannot use" in result.found
    assert "Install the NVIDIA driver" in result.cure


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is a build for CUDA")
def test_a_gpu_with_a_driver_and_torch_for_cpus(
    devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version").write_text("NVRM version: 1")
    monkeypatch.setattr(machine, "NVIDIA_DRIVER", tmp_path / "version")
    assert "Install a build of torch for CUDA" in check_device("auto", devices=devices).cure


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the GPU of this machine")
def test_a_machine_without_a_gpu(tmp_path: Path) -> None:
    assert check_device("auto", devices=tmp_path).state == "ok"


def test_another_distribution_with_our_packages() -> None:
    result = check_distributions({"server": ["polyprefix", "other"], "training": ["polyprefix"]})
    assert result.state == "problem"
    assert "'other'" in result.found


def test_a_server_that_accepts_the_key(tmp_path: Path, backbone_folder: Path, rest: Rest) -> None:
    report = diagnose(tmp_path, backbone_folder, "--url", rest.url, "--key", rest.keys["acme"])
    assert report.code == 0
    states = [report.state(check) for check in ("server", "client", "clock", "readiness", "key")]
    assert states == ["ok"] * 5
    assert "role admin of tenant acme" in report.text("key")


def test_a_server_at_the_default_url_is_found(
    tmp_path: Path, backbone_folder: Path, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyprefix_client.login.DEFAULT_URL", f"http://127.0.0.1:{_free_port()}")
    assert diagnose(tmp_path, backbone_folder).state("server") == "skipped"
    monkeypatch.setattr("polyprefix_client.login.DEFAULT_URL", rest.url)
    assert diagnose(tmp_path, backbone_folder).state("server") == "ok"


def test_a_wrong_key(
    tmp_path: Path, backbone_folder: Path, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYPREFIX_URL", rest.url)
    monkeypatch.setenv("POLYPREFIX_KEY", "pp_wrong")
    report = diagnose(tmp_path, backbone_folder)
    assert (report.code, report.state("key")) == (1, "problem")
    assert "(environment)" in report.text("key")
    assert "polyprefix login" in report.text("key")
    assert "pp_wrong" not in report.text("key")


def test_no_key(tmp_path: Path, backbone_folder: Path, rest: Rest) -> None:
    assert diagnose(tmp_path, backbone_folder, "--url", rest.url).state("key") == "warning"


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"name": "other", "version": "1"}'])
def test_a_url_of_another_program(tmp_path: Path, backbone_folder: Path, body: bytes) -> None:
    async def other(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with on_a_port(other, lifespan="off") as url:
        report = diagnose(tmp_path, backbone_folder, "--url", url)
    assert (report.code, report.state("server")) == (1, "problem")
    assert "is not polyprefix" in report.text("server")


def test_a_server_that_does_not_respond(tmp_path: Path, backbone_folder: Path) -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    report = diagnose(tmp_path, backbone_folder, "--url", url)
    assert (report.code, report.state("server")) == (1, "problem")
    assert url in report.text("server")
    assert "key" not in report.results


def test_a_server_that_stops_responding_during_the_checks(
    tmp_path: Path, backbone_folder: Path
) -> None:
    async def server(scope: Any, _receive: Any, send: Any) -> None:
        summary = json.dumps({"name": "polyprefix", "version": program_version()}).encode()
        headers = [(b"content-length", str(len(summary)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/":  # other responses end before their body
            await send({"type": "http.response.body", "body": summary})

    with on_a_port(server, lifespan="off") as url:
        report = diagnose(tmp_path, backbone_folder, "--url", url)
    assert (report.code, report.state("client"), report.state("server")) == (1, "ok", "problem")
    assert f"{url} (argument) does not respond" in report.text("server")
    assert "readiness" not in report.results


def test_a_url_that_is_not_valid(tmp_path: Path, backbone_folder: Path) -> None:
    report = diagnose(tmp_path, backbone_folder, "--url", "localhost:8000")
    assert (report.code, report.state("server")) == (1, "problem")
    assert "Invalid URL 'localhost:8000'" in report.text("server")
    assert "POLYPREFIX_URL" in report.text("server")


def test_a_flag_of_serve_is_a_setting_to_check(tmp_path: Path, backbone_folder: Path) -> None:
    report = diagnose(tmp_path, backbone_folder, "--target-latency-ms", -1)
    assert (report.code, report.state("settings")) == (1, "problem")
    assert "target_latency_ms" in report.text("settings").lower()


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, "ok", "within 30 s"),
        (29, "ok", "within 30 s"),
        (300, "problem", "300 s ahead of"),
        (-300, "problem", "300 s behind"),
    ],
)
def test_a_clock_that_differs(seconds: int, state: str, words: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    response = httpx.Response(200, headers={"Date": date})
    response.elapsed = timedelta(0)
    result = check_clock(response, now)
    assert result.state == state
    assert words in result.found


def test_a_response_without_a_date() -> None:
    response = httpx.Response(200)
    response.elapsed = timedelta(0)
    assert check_clock(response, datetime.now(UTC)).state == "warning"


@pytest.mark.parametrize(
    ("client", "server", "words"),
    [
        ("0.1.0", "0.2.0", ["client 0.1.0 is older", "Upgrade the client"]),
        ("0.10.0", "0.9.3", ["server 0.9.3 is older", "Upgrade the server"]),
        ("0.1.0", "0.1.4+source", ["as the server"]),
    ],
)
def test_a_client_of_another_release(client: str, server: str, words: Sequence[str]) -> None:
    result = check_versions(client, server)
    assert result.state == ("ok" if len(words) == 1 else "warning")
    assert all(word in f"{result.found} {result.cure}" for word in words)


def test_the_output_for_people_has_the_cure_below_the_cause(tmp_path: Path) -> None:
    done = call("doctor", "--store-folder", tmp_path, "--backbone", tmp_path / "nowhere")
    lines = done.output.splitlines()
    (place,) = [place for place, line in enumerate(lines) if "backbone:" in line]
    assert lines[place].startswith("problem  backbone: The backbone folder")
    assert lines[place + 1].startswith(" " * 9 + "Set POLYPREFIX_BACKBONE")


def test_a_bucket_that_can_be_used_is_left_as_it_was(
    seaweedfs: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = seaweedfs.new_bucket()
    use_bucket(monkeypatch, settings)
    report = diagnose(tmp_path, tmp_path / "no-backbone")
    assert report.state("bucket") == "ok"
    assert open_store(tmp_path / "other", settings).id() is None


def test_a_bucket_that_does_not_exist(
    seaweedfs: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bucket(monkeypatch, seaweedfs.bucket("no-such-bucket"))
    report = diagnose(tmp_path, tmp_path / "no-backbone")
    assert report.state("bucket") == "problem"
    assert "s3://no-such-bucket/tests/store/doctor/" in report.text("bucket")
    assert "heck the AWS_ variables" in report.text("bucket")  # as SeaweedFS answers a write


def use_bucket(monkeypatch: pytest.MonkeyPatch, settings: BucketSettings) -> None:
    for name, value in settings_of(settings).items():
        monkeypatch.setenv(name, value)
