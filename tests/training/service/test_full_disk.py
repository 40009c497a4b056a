"""Disks that fill up under a training: a sentence, and nothing half-written under its name."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from server.command_line.main import app
from tests.full_disk import FULL, mounted_disk
from tests.training.learnable_tasks import sentiment_rows, write_jsonl
from training.service.execution import run_job
from training.service.protocol.messages import Job, JobPlan
from training.service.protocol.worker import WorkerExitCode
from training.service.reporter import JobReporter

_KIB: Final = 1024
_ROOM: Final = 512
_FILLER: Final = "filler"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", kib=_ROOM) as folder:
        yield folder


def leave_free(disk: Path, kib: int) -> None:
    (disk / _FILLER).write_bytes(bytes((_ROOM - kib) * _KIB))


def run(*arguments: object) -> tuple[int, str]:
    """Exit code, and what a command says on standard error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stderr


def check_whole(path: Path) -> None:
    """Read a file to its end, by what its name says it is."""
    match path.suffix:
        case ".png":
            Image.open(path).load()
        case ".safetensors":
            with safe_open(path, "np") as file:
                names = list(file.keys())
                assert all(file.get_tensor(name).size for name in names)
        case ".json":
            json.loads(path.read_bytes())
        case ".pt":
            torch.load(path, weights_only=True)
        case _:
            assert path.is_dir() or path.suffix == ".txt", path


@pytest.mark.parametrize("method", ["prefix", "full"])
def test_a_training_on_a_full_disk_leaves_whole_files_and_goes_on_once_there_is_room(
    backbone_folder: Path, tmp_path: Path, disk: Path, method: str
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(32))
    command = ["train", "acme/mood", "--train", rows, "--backbone", backbone_folder]
    command += ["--method", method, "--set", "min_steps=1", "--max-steps", "1", "--device", "cpu"]
    command += ["--output", disk / "out", *(["--resume"] if method == "prefix" else [])]
    refusals = 0
    for kib in range(0, _ROOM, 32):
        leave_free(disk, kib)
        code, said = run(*command)
        for path in (disk / "out").rglob("*"):
            check_whole(path)
        if code == 0:
            break
        refusals += 1
        *_, sentence = said.strip().splitlines()
        assert code == 1
        assert sentence.startswith("polyprefix: Could not write ")
        assert "Traceback" not in said
    assert code == 0
    assert refusals >= 3
    assert {"curve.png", "report.json"} <= {path.name for path in (disk / "out").iterdir()}


def test_predictions_are_written_whole_or_not_at_all(
    backbone_folder: Path, tmp_path: Path, disk: Path
) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(32))
    place = ["--backbone", backbone_folder]
    options = ["--set", "min_steps=1", "--max-steps", "1", "--output", tmp_path]
    assert run("train", "acme/mood", "--train", rows, *place, *options)[0] == 0
    leave_free(disk, 4)
    many = write_jsonl(tmp_path / "many.jsonl", sentiment_rows(500))
    command = ["predict", tmp_path / "prefix.safetensors", many, *place]
    code, said = run(*command, "--output", disk / "answers.jsonl")
    assert (code, [path.name for path in disk.iterdir()]) == (1, [_FILLER])
    assert re.search(f"answers.jsonl: {FULL}", said)


def test_output_that_the_disk_rejects_is_reported() -> None:
    script = (
        "from server.command_line.exit_codes import errors_as_exit_codes\n"
        "with errors_as_exit_codes():\n"
        "    print('x')\n"  # less than the buffer holds: the write fails when it is flushed
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "polyprefix: Cannot write to standard output: No space left on device"
    ]


def test_a_worker_on_a_full_disk_says_so_and_goes_on_once_there_is_room(
    backbone_folder: Path,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_jsonl(disk / "train.jsonl", sentiment_rows(32))
    config = {"task": "acme/mood", "train": "train.jsonl", "min_steps": 1, "max_steps": 1}
    plan = JobPlan(runs=(config,), backbone=str(backbone_folder), device="cpu")
    job = Job(plan=plan, memory_share=None, num_threads=1, live_version=None, has_live=False)
    monkeypatch.chdir(disk)

    leave_free(disk, 8)
    full = run_job(job, JobReporter(Path()))
    said = capsys.readouterr().err
    names = {path.name for path in disk.rglob("*")}
    (disk / _FILLER).unlink()
    roomy = run_job(job, JobReporter(Path()))

    assert full == WorkerExitCode.DISK_ERROR
    assert said.startswith("polyprefix: Could not write ")
    assert len(said.splitlines()) == 1
    assert not any(name.endswith(".partial") for name in names)
    assert roomy == 0
    assert json.loads(Path("outcome.json").read_bytes())["is_success"]
