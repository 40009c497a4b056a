"""Exit codes: one table, and the same code for the same error in every command."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import pytest
from typer.testing import CliRunner

from prefixes.registry import open_registry
from server.command_line.command import Command
from server.command_line.exit_codes import MEANINGS, ExitCode, errors_as_exit_codes
from server.command_line.main import app
from tests.server.command_line.caller import call
from tests.server.command_line.walk import commands
from tests.training.learnable_tasks import sentiment_rows, write_jsonl

ROOT: Final = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
VERSION: Final = (sys.executable, "-m", "server", "version")

MISSING = "/no/such/place"
CALLS_OF = {
    "an unknown flag": [
        ["serve", "--nope"],
        ["version", "--nope"],
        ["train", "--nope"],
        ["evaluate", "--nope"],
        ["predict", "--nope"],
        ["recipes", "--nope"],
        ["import", "--nope"],
        ["export", "--nope"],
        ["key", "create", "--nope"],
        ["key", "list", "--nope"],
        ["key", "revoke", "--nope"],
        ["store", "adopt", "--nope"],
    ],
    "a missing backbone": [
        ["serve", "--port", "0", "--store-folder", "{store}", "--backbone", MISSING],
        ["train", "a/b", "--train", "{rows}", "--output", "{out}", "--backbone", MISSING],
        ["evaluate", "{rows}", "{rows}", "--backbone", MISSING],
        ["predict", "{rows}", "{rows}", "--backbone", MISSING],
        ["import", "peft", "{out}", "--output", "{out}", "--backbone", MISSING],
        ["export", "peft", "{rows}", "{out}", "--backbone", MISSING],
    ],
    "a missing file": [
        ["train", "a/b", "--train", MISSING, "--output", "{out}", "--backbone", "{backbone}"],
        ["train", f"{MISSING}.toml", "--output", "{out}", "--backbone", "{backbone}"],
        ["evaluate", MISSING, "{rows}", "--backbone", "{backbone}"],
        ["evaluate", "{rows}", MISSING, "--backbone", "{backbone}"],
        ["predict", MISSING, "{rows}", "--backbone", "{backbone}"],
        ["import", "peft", MISSING, "--output", "{out}", "--backbone", "{backbone}"],
        ["export", "peft", MISSING, "{out}", "--backbone", "{backbone}"],
    ],
    "an invalid source of rows": [
        ["train", "a/b", "--train", "hub:x", "--output", "{out}", "--backbone", "{backbone}"],
        [
            *("train", "--task", "superglue", "--dataset", "rte", "--do-predict"),
            *("--test-file", "hub:x", "--output", "{out}"),
        ],
        ["evaluate", "{rows}", "hub:x", "--backbone", "{backbone}"],
        ["predict", "{rows}", "hub:x", "--backbone", "{backbone}"],
    ],
    "a file that is not a prefix file": [
        ["evaluate", "{rows}", "{rows}", "--backbone", "{backbone}"],
        ["predict", "{rows}", "{rows}", "--backbone", "{backbone}"],
        ["export", "peft", "{rows}", "{out}", "--backbone", "{backbone}"],
        [
            *("train", "a/b", "--train", "{rows}", "--start-from", "{rows}"),
            *("--output", "{out}", "--backbone", "{backbone}"),
        ],
    ],
    "an invalid name": [
        ["key", "create", "No Name", "--store-folder", "{store}"],
        ["train", "No Name/x", "--train", "{rows}", "--output", "{out}"],
        [
            *("import", "peft", "{out}", "--task", "No Name/x"),
            *("--output", "{out}", "--backbone", "{backbone}"),
        ],
        ["serve", "--port", "0", "--pinned", "No Name/x", "--store-folder", "{store}"],
    ],
    "a name that does not exist": [
        ["key", "list", "nobody", "--store-folder", "{store}"],
        ["key", "revoke", "0123456789ab", "--store-folder", "{store}"],
        ["train", "--recipe", "nothing", "--train", "{rows}", "--output", "{out}"],
        ["train", "--task", "glue", "--dataset", "nothing", "--output", "{out}"],
        [
            *("train", "a/b", "--train", "{rows}", "--start-from", "{store}#nobody/nothing"),
            *("--output", "{out}", "--backbone", "{backbone}"),
        ],
    ],
}
STORE_COMMANDS = [
    ["serve", "--port", "0"],
    ["key", "create", "acme"],
    ["key", "list", "acme"],
    ["key", "revoke", "0123456789ab"],
    ["store", "adopt"],
]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(call, id=f"{error}: {' '.join(call)}")
        for error, calls in CALLS_OF.items()
        for call in calls
    ],
)
def test_invalid_input_has_one_exit_code_in_every_command(
    arguments: list[str], tmp_path: Path, backbone_folder: Path
) -> None:
    (tmp_path / "out").mkdir()
    open_registry(tmp_path / "store").close()
    places = {
        "{store}": tmp_path / "store",
        "{out}": tmp_path / "out",
        "{rows}": write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20)),
        "{backbone}": backbone_folder,
    }
    for name, path in places.items():
        arguments = [argument.replace(name, str(path)) for argument in arguments]
    outcome = call(*arguments)
    assert outcome.code == ExitCode.INVALID_INPUT, outcome
    assert outcome.error
    assert "Traceback" not in outcome.error


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=" ".join)
def test_an_unknown_variable_is_invalid_input_for_every_command_with_settings(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYPREFIX_PROT", "8000")
    outcome = call(*arguments, "--store-folder", tmp_path)
    assert outcome.code == ExitCode.INVALID_INPUT
    assert "POLYPREFIX_PROT" in outcome.error


@pytest.mark.parametrize("arguments", STORE_COMMANDS, ids=" ".join)
def test_a_store_that_cannot_be_opened_is_a_failure_in_every_command(
    arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = call(*arguments, "--store-folder", tmp_path / "file" / "store")
    assert outcome.code == ExitCode.FAILURE, outcome
    assert str(tmp_path / "file") in outcome.error


@pytest.mark.parametrize("target", ["http://127.0.0.1:1", "{file}"])
def test_a_place_that_cannot_be_published_to_is_a_failure(tmp_path: Path, target: str) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(20))
    place = target.replace("{file}", str(rows))
    output = ("--output", tmp_path / "out")
    outcome = call("train", "a/b", "--train", rows, "--publish", place, *output)
    assert outcome.code == ExitCode.FAILURE, outcome
    assert place in outcome.error


def test_every_command_reports_errors_in_the_one_place() -> None:
    assert all(isinstance(command, Command) for _, command in commands())


def test_the_page_has_the_table_of_exit_codes() -> None:
    rows = dict(re.findall(r"^\| `(\d+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows == {str(int(code)): meaning for code, meaning in MEANINGS.items()}
    assert set(MEANINGS) == set(ExitCode)


def test_the_page_lists_every_command_with_the_first_sentence_of_its_help() -> None:
    rows = dict(re.findall(r"^\| `(polyprefix [a-z -]+)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert rows == {name: command.get_short_help_str(limit=200) for name, command in commands()}


def test_a_defect_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "server.api.status", None)
    result = CliRunner().invoke(app, ["version"])
    assert isinstance(result.exception, ImportError)


def run(*command: str, output: IO[bytes] | int, unbuffered: str = "") -> tuple[int, str]:
    """Run a command in a process; return its exit code and its standard error."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=output,
        stderr=subprocess.PIPE,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def test_a_command_with_closed_output_succeeds() -> None:
    closed = ("sh", "-c", '"$@" >&-', "sh")
    assert run(*closed, *VERSION, output=subprocess.DEVNULL) == (ExitCode.SUCCESS, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_whose_output_has_no_reader_succeeds(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as output:  # noqa: PTH123 - a descriptor
        ended = run(*VERSION, output=output, unbuffered=unbuffered)
    assert ended == (ExitCode.SUCCESS, "")


def test_a_broken_pipe_that_is_not_the_output_is_a_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, errors_as_exit_codes():
        raise BrokenPipeError(errno.EPIPE, "a front end has gone")
    assert ended.value.code == ExitCode.FAILURE
    assert capsys.readouterr().err == "polyprefix: a front end has gone\n"


def test_a_missing_file_is_reported_without_the_number_of_the_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    with pytest.raises(SystemExit) as ended, errors_as_exit_codes():
        path.read_bytes()
    assert ended.value.code == ExitCode.INVALID_INPUT
    assert capsys.readouterr().err == f"polyprefix: {path}: No such file or directory\n"
