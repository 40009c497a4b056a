from pathlib import Path

import pytest

from server.command_line.exit_codes import ExitCode
from server.command_line.foreign_packages import ForeignPackage, check_packages
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
