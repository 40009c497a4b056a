import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.command_line.caller import call
from tests.server.command_line.walk import commands

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "transformers", "numpy", "sklearn", "sqlalchemy", "fastapi", "httpx", "rich"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {*HEAVY, "pydantic"}),
        (["train", "--help"], HEAVY),  # Typer itself parses arguments with pydantic
        (["key", "--help"], HEAVY),
    ],
)
def test_help_loads_no_heavy_package(arguments: list[str], heavy: set[str]) -> None:
    script = (
        "import sys\n"
        "from server.command_line.main import main\n"
        f"sys.argv = ['polyprefix', *{arguments}]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        f"heavy = {heavy} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_help_lists_every_command() -> None:
    listed = call("--help").output
    for name, _ in commands():
        assert f"\n  {name.split()[1]} " in listed


def test_the_help_of_train_lists_flags_by_section() -> None:
    listed = call("train", "--help").output
    sections = ["Arguments", "Task", "Recipe", "Runtime and output", "P-tuning v2", "Options"]
    places = [listed.index(f"\n{section}:\n") for section in sections]
    assert places == sorted(places)
    assert places[2] < listed.index("--learning-rate") < places[3]


def test_flags_may_be_written_with_underscores() -> None:
    assert call("predict", "--text_column").error.endswith("requires an argument.")


def test_the_version_is_printed() -> None:
    assert call("version").output.strip()


def test_every_command_that_prints_results_can_print_json() -> None:
    without = {
        name
        for name, command in commands()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == {"polyprefix serve"}


@pytest.mark.parametrize(
    "arguments", [("version",), ("recipes",), ("key", "generate"), ("feedback", "generate-key")]
)
def test_json_of_commands_without_a_place_is_valid(arguments: tuple[str, ...]) -> None:
    assert json.loads(call(*arguments, "--json").output)
