"""The processes of a training: their environment, and how they end together."""

import sys
from pathlib import Path

import pytest

from server.command_line.parallel_launch import run_together


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_every_process_knows_who_it_is(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; e = os.environ;"
        f"pathlib.Path({str(tmp_path)!r}, e['RANK']).write_text(e['WORLD_SIZE'] + e['MASTER_ADDR'])"
    )
    assert run_together(python(code), 3) == 0
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(
        "012", "3127.0.0.1"
    )


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("sys.exit('no memory')", 1, "Process 1 of the training failed with exit code 1"),
        ("os.kill(os.getpid(), 9)", 1, "Process 1 of the training was killed by signal 9"),
        ("sys.exit(3)", 3, "Process 1 of the training failed with exit code 3"),
    ],
)
def test_a_process_that_fails_ends_all_and_is_named(
    capsys: pytest.CaptureFixture[str], end: str, code: int, told: str
) -> None:
    waits = f"import os, sys, time; os.environ['RANK'] == '1' and {end}; time.sleep(600)"
    assert run_together(python(waits), 2) == code
    said = capsys.readouterr().err
    assert told in said
    assert ("no memory" in said) == ("no memory" in end)


def test_a_launcher_that_is_told_to_stop_lets_all_processes_save(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys, time; number = os.environ['RANK'];"
        "ready, saved = (pathlib.Path(sys.argv[1], number + x) for x in ('ready', 'saved'));"
        "signal.signal(signal.SIGTERM, lambda *_: (saved.touch(), sys.exit(130)));"
        "ready.touch();"
        "other = ready.with_name('1ready')\n"
        "while number == '0' and not other.exists(): time.sleep(0.01)\n"
        "if number == '0': os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(600)"
    )
    assert run_together([*python(code), str(tmp_path)], 2) == 130
    assert {"0saved", "1saved"} <= {file.name for file in tmp_path.iterdir()}
