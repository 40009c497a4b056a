"""Executes the job in the working directory: trains, reports, and writes the outcome."""

import fcntl
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from prefixes.atomic import write_atomically
from prefixes.errors import PrefixRejected, StoreUnavailable
from training.errors import TrainingError, TrainingStopped
from training.service.cpu_time import CpuTime
from training.service.failure import failure_of
from training.service.protocol.messages import Job, JobOutcome
from training.service.protocol.worker import (
    CPU_SECONDS,
    JOB,
    LIVE_PREFIX,
    LOCK,
    OUTCOME,
    OUTPUT,
    WorkerExitCode,
)
from training.service.reporter import JobReporter

_SECONDS_BETWEEN_CHECKPOINTS: Final = 10.0
_SECONDS_TO_STOP: Final = 15.0
_OUT_OF_MEMORY: Final = (
    "The training needs more GPU memory than one training may use. Use a smaller max_length "
    "or batch_size."
)


def execute_job() -> WorkerExitCode:
    """Wait for an earlier worker of the job to exit, then train until the end or a stop."""
    _wait_for_earlier_worker()
    reporter = JobReporter(Path())
    signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked by `worker`
    threading.Thread(target=_stop_with_parent, args=[reporter], daemon=True).start()
    job = Job.parse(Path(JOB).read_bytes())
    cpu_time = CpuTime(Path(CPU_SECONDS))
    threading.Thread(target=cpu_time.keep_noting, daemon=True).start()
    return run_job(job, reporter)


def run_job(job: Job, reporter: JobReporter) -> WorkerExitCode:
    """Train in the working directory and return the code to exit with."""
    try:
        outcome = _outcome(job, reporter)
        write_atomically(Path(OUTCOME), outcome.to_json())
    except TrainingStopped:
        return WorkerExitCode.STOPPED
    except StoreUnavailable as error:  # not a defect of the program: no traceback
        sys.stderr.write(f"polyprefix: {error}\n")
        return WorkerExitCode.DISK_ERROR
    return WorkerExitCode.DONE


def _wait_for_earlier_worker() -> None:
    """Lock the folder until this process has exited.

    A worker of a server that was killed may still be writing its last checkpoint. Its threads write
    until it has exited, which takes a while on a busy machine, so nothing else releases the lock.
    """
    descriptor = os.open(LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _outcome(job: Job, reporter: JobReporter) -> JobOutcome:
    # Imported late: torch takes seconds, and a stop must be noticed meanwhile. Collections of
    # garbage would visit all that is imported again and again, and free next to nothing.
    gc.disable()
    import torch  # noqa: PLC0415
    from transformers.utils import logging as transformers_logging  # noqa: PLC0415

    from training.distillation.teaching import TeacherWatch  # noqa: PLC0415
    from training.service.live_comparison import train_and_compare  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    torch.set_num_threads(job.num_threads)
    if job.memory_share is not None:
        torch.cuda.set_per_process_memory_fraction(job.memory_share, job.plan.device)
    transformers_logging.disable_progress_bar()
    try:
        return train_and_compare(
            job.plan.model_dump(),
            Path(OUTPUT),
            live=Path(LIVE_PREFIX) if job.has_live else None,
            kernel_cache=None if job.kernel_cache is None else Path(job.kernel_cache),
            seconds_between_checkpoints=_SECONDS_BETWEEN_CHECKPOINTS,
            watch=reporter.report_progress,
            teacher_watch=TeacherWatch(reporter.report_progress, reporter.report_answers),
            describe=reporter.report_data_summary,
            warn=reporter.report_warnings,
        )
    except TrainingStopped:
        raise
    except (TrainingError, PrefixRejected) as error:  # others are for the operator: in the log
        return failure_of(error)
    except torch.OutOfMemoryError:
        return failure_of(TrainingError(_OUT_OF_MEMORY))


def _stop_with_parent(reporter: JobReporter) -> None:
    # The read ends when the server closes its end or dies. Not `sys.stdin`: this thread would hold
    # its lock while Python exits, which fails then.
    while os.read(0, 1):
        pass
    reporter.stop()
    time.sleep(_SECONDS_TO_STOP)
    os._exit(WorkerExitCode.STOPPED)
