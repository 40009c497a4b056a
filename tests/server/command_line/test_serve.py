import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.command_line.exit_codes import ExitCode
from server.command_line.foreign_packages import ForeignPackage, check_packages
from server.command_line.main import app
from server.hosting import assembly
from server.hosting.listener import bind
from server.settings import Settings
from tests.server.command_line.caller import call
from tests.server.command_line.walk import commands


def test_every_flag_of_serve_is_a_setting() -> None:
    names = {one.name for one in dict(commands())["polyprefix serve"].params}
    assert names
    assert names <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("flags", "code", "reason"),
    [
        (["--port", "99999"], ExitCode.INVALID_INPUT, "POLYPREFIX_PORT"),
        (["--examples-folder", "/no/such"], ExitCode.INVALID_INPUT, "POLYPREFIX_EXAMPLES_FOLDER"),
        (["--host", "192.0.2.1"], ExitCode.FAILURE, "Cannot listen on 192.0.2.1"),
        (["--backbone", "/no/folder", "--port", "0"], ExitCode.INVALID_INPUT, "/no/folder"),
        (
            ["--quantize", "int8", "--dtype", "bfloat16", "--port", "0"],
            ExitCode.INVALID_INPUT,
            "quantized",
        ),
    ],
)
def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, flags: list[str], code: ExitCode, reason: str
) -> None:
    outcome = call("serve", *flags, "--store-folder", tmp_path / "store")
    assert outcome.code == code
    assert outcome.error.startswith("polyprefix: ")
    assert reason in outcome.error


def test_a_port_in_use_is_reported_before_anything_is_loaded(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        outcome = call("serve", "--port", port, "--store-folder", tmp_path / "s")
    assert outcome.code == ExitCode.FAILURE
    assert "in use" in outcome.error
    assert not (tmp_path / "s").exists()


def test_a_foreign_package_of_one_of_our_names_is_named() -> None:
    check_packages({"server": ["polyprefix"], "numpy": ["numpy"]})
    check_packages({})
    with pytest.raises(ForeignPackage, match=r"'acme-server'.*'server'.*virtual environment"):
        check_packages({"server": ["polyprefix", "acme-server"]})


def test_a_server_whose_output_has_no_reader_goes_on_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    has_served: list[bool] = []

    def serve(
        settings: object, registry: object, listener: object, announce: Callable[[], None]
    ) -> None:
        announce()
        has_served.append(True)

    monkeypatch.setattr(assembly, "serve", serve)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdout", output)
        app(["serve", "--port", "0", "--store-folder", str(tmp_path)], standalone_mode=False)
    assert has_served
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "Broken pipe; the server listens on http://127.0.0.1:" in warning


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        FileNotFoundError(2, "No such file or directory"),
        BrokenPipeError(32, "Broken pipe"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_running_server_is_a_failure_with_a_traceback_in_the_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError,
) -> None:
    def serve(*_: object) -> None:
        raise error

    monkeypatch.setattr(assembly, "serve", serve)
    outcome = call("serve", "--port", 0, "--store-folder", tmp_path)
    assert outcome.code == ExitCode.FAILURE
    assert outcome.error.startswith(f"polyprefix: The server failed: {error.strerror}. ")
    (record,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
