import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from training.service.protocol.messages import Job, JobPlan
from training.service.protocol.worker import JOB, LOCK, WorkerExitCode

STOPPED_AS_IT_STARTS: Final = """
import os, signal
from training.service import execution, worker

worker._lower_priority = lambda _: os.kill(os.getpid(), signal.SIGTERM)
execution.run_job = lambda _, reporter: 75 if reporter._stop.is_set() else 1
worker.main()
"""

EXITS_SLOWLY: Final = """
import atexit, sys
from training.service import execution, worker

atexit.register(lambda: (print("exiting", flush=True), sys.stdin.readline()))
worker._lower_priority = lambda niceness: None  # it would lower that of all tests
execution._stop_with_parent = lambda reporter: None
execution.run_job = lambda _, reporter: 0
worker.main()
"""


def start(script: str, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a process that works on a job in a folder."""
    plan = JobPlan(runs=({},), backbone="minilm", device="cpu")
    job = Job(plan=plan, memory_share=None, num_threads=1, live_version=None, has_live=False)
    (folder / JOB).write_text(job.to_json())
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder), "0"],
        stdin=subprocess.PIPE,  # its end would stop the training, too
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_signal_that_arrives_before_its_handler_is_set_stops_the_training(
    tmp_path: Path,
) -> None:
    with start(STOPPED_AS_IT_STARTS, tmp_path) as process:
        assert process.wait(60) == WorkerExitCode.STOPPED


def test_a_folder_stays_locked_until_its_worker_has_exited(tmp_path: Path) -> None:
    with start(EXITS_SLOWLY, tmp_path) as process, (tmp_path / LOCK).open("w") as lock:
        assert process.stdout is not None
        assert process.stdout.readline() == b"exiting\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.communicate(b"\n", timeout=60)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
