import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from training.service.protocol.messages import Job, JobPlan
from training.service.protocol.worker import JOB, WorkerExitCode

STOPPED_AS_IT_STARTS: Final = """
import os, signal
from training.service import execution, worker

worker._lower_priority = lambda _: os.kill(os.getpid(), signal.SIGTERM)
execution.run_job = lambda _, reporter: 75 if reporter._stop.is_set() else 1
worker.main()
"""


def test_a_signal_that_arrives_before_its_handler_is_set_stops_the_training(
    tmp_path: Path,
) -> None:
    plan = JobPlan(runs=({},), backbone="minilm", device="cpu")
    job = Job(plan=plan, memory_share=None, num_threads=1, live_version=None, has_live=False)
    (tmp_path / JOB).write_text(job.to_json())
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED_AS_IT_STARTS, str(tmp_path), "0"],
        stdin=subprocess.PIPE,  # its end would stop the training, too
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.wait(60) == WorkerExitCode.STOPPED
