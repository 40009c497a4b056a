"""Several processes learn what one process learns, also if one of them is killed meanwhile."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import Prefix
from tests.training.learnable_tasks import ROWS_OF, write_jsonl
from training.errors import PlanRejected
from training.learning.parallel import OneProcess, join_processes
from training.sessions.files import CHECKPOINT
from training.sessions.session import run_plan
from training.settings.plan import check_plan

pytest.importorskip("accelerate", reason="the extra [parallel] is not installed")

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json, sys, time
from pathlib import Path
from training.settings.plan import check_plan
from training.sessions.session import run_plan

run_plan(
    check_plan(json.loads(sys.argv[1]), origin="test"),
    Path(sys.argv[2]),
    resume=True,
    seconds_between_checkpoints=0,
    watch=lambda runs: time.sleep(float(sys.argv[3])),
)
"""


def fields_of(backbone_folder: Path, data: Path) -> dict[str, Any]:
    """Every type of task and every method, with all that is drawn at random."""
    methods = ["prefix", "prompt", "head", "vectors", "prefix"]
    runs = [
        {
            "task": f"acme/{task_type}",
            "task_type": task_type,
            "method": method,
            "train": str(write_jsonl(data / f"{task_type}.jsonl", rows(24))),
            "max_length": 32,
            "batch_size": 8,
            "feature_dropout": 0.2,
            "hidden_dropout": 0.1,
            "max_steps": 5,
            **({"prefix_length": 4, "prefix_dropout": 0.1} if method.startswith("pr") else {}),
        }
        for method, (task_type, rows) in zip(methods, ROWS_OF.items(), strict=True)
    ]
    return {"runs": runs, "backbone": str(backbone_folder), "device": "cpu"}


def start_two(
    fields: dict[str, Any], output: Path, *, seconds_a_step: float = 0.0
) -> list[subprocess.Popen[bytes]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(fields), str(output), str(seconds_a_step)],
            cwd=ROOT,
            env={
                **os.environ,
                **together,
                "RANK": str(number),
                "LOCAL_RANK": str(number),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            },
        )
        for number in range(2)
    ]


SHIFTED = {"multiple_choice", "question_answering"}
"""Tasks whose outputs a bias shifts all alike: it learns from nothing but rounding."""


def check_same(one: Path, other: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    assert len(files) == len(ROWS_OF)
    for file in files:
        expected, found = (Prefix.load(folder / file).tensors for folder in (one, other))
        for name, tensor in expected.items():
            if name == "head.output.bias" and file.parent.name in SHIFTED:
                continue
            np.testing.assert_allclose(found[name], tensor, rtol=1e-4, atol=1e-5, err_msg=str(file))


def wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    return [process.wait(timeout=120) for process in processes]


def test_two_processes_learn_what_one_learns_even_when_they_were_killed(
    backbone_folder: Path, tmp_path: Path
) -> None:
    fields = fields_of(backbone_folder, tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_plan(check_plan(fields, origin="test"), whole, watch=lambda _: None)

    processes = start_two(fields, killed, seconds_a_step=0.3)
    deadline = time.monotonic() + 120
    while not (killed / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        process.kill()
    assert set(wait_for(processes)) == {-9}, "the training ended before it was killed"
    assert wait_for(start_two(fields, killed)) == [0, 0]

    check_same(whole, killed)


def test_a_process_whose_partner_dies_ends_too(backbone_folder: Path, tmp_path: Path) -> None:
    fields = fields_of(backbone_folder, tmp_path)
    processes = start_two(fields, tmp_path / "output", seconds_a_step=0.3)
    deadline = time.monotonic() + 120
    while not (tmp_path / "output" / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    processes[1].kill()
    ended, killed = wait_for(processes)
    assert (ended, killed) == (1, -9)


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes, device = join_processes("auto")
    assert isinstance(processes, OneProcess)
    assert device == "auto"


def test_a_device_that_all_would_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PlanRejected, match="Invalid device 'cuda:1'"):
        join_processes("cuda:1")
