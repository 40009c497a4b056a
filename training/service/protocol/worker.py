"""How a worker is started, which files it reads and writes, and how it exits.

A job has a folder. The server writes `JOB` there, next to the rows (`train.*`, `validation.*`,
`test.*`, `feedback.*`, `unlabeled.*`) and the live version (`LIVE_PREFIX`, if there is one). The
worker writes the other files. `OUTCOME` comes last: once it exists, no worker is needed.
"""

import sys
from enum import IntEnum
from functools import cache
from importlib.util import find_spec
from os import EX_IOERR, EX_OK, EX_TEMPFAIL
from typing import Final

from training.sessions.files import CHECKPOINT, CURVE, LESSONS_FOLDER, PREFIX_FILE, REPORT

COMMAND: Final = (sys.executable, "-P", "-m", "training.service.worker")
"""Starts a worker; the folder of its job and its nice value are the last arguments."""
CHECK_COMMAND: Final = (sys.executable, "-P", "-m", "training.service.row_check")
"""Starts a process that checks rows; their folder is the last argument."""

JOB: Final = "job.json"
LIVE_PREFIX: Final = "live.safetensors"
OUTCOME: Final = "outcome.json"
EVENTS: Final = "events.jsonl"
WARNINGS: Final = "warnings.json"
DATA_SUMMARY: Final = "data_summary.json"
CPU_SECONDS: Final = "spent.json"
LOG: Final = "worker.log"
LOCK: Final = "lock"
ROW_PLAN: Final = "row_plan.json"
ROW_CHECK: Final = "row_check.json"

OUTPUT: Final = "out"
"""The folder of the files below."""
NEW_PREFIX: Final = f"{OUTPUT}/{PREFIX_FILE}"
JOB_CHECKPOINT: Final = f"{OUTPUT}/{CHECKPOINT}"
JOB_LESSONS: Final = f"{OUTPUT}/{LESSONS_FOLDER}/"
"""Begins the names of the files with a teacher's answers, which a resumed job reuses."""
JOB_REPORT: Final = f"{OUTPUT}/{REPORT}"
JOB_CURVE: Final = f"{OUTPUT}/{CURVE}"

ROW_PARTS: Final = ("train", "validation", "test", "feedback", "unlabeled")
ROW_SUFFIXES: Final = (".csv", ".json", ".jsonl", ".tsv", ".parquet", ".conll", ".txt")
"""Suffixes of files of labeled rows that a tenant may send."""


@cache
def missing_extras() -> dict[str, str]:
    """Return what has to be installed to read files of a suffix, where it is not."""
    if find_spec("datasets") is not None:
        return {}
    return {".parquet": "polyprefix[data]"}


class WorkerExitCode(IntEnum):
    """How a worker exits. Any other code means that it crashed."""

    DONE = EX_OK
    """It has written `OUTCOME`."""
    STOPPED = EX_TEMPFAIL
    """It was told to stop. Another worker can resume from its checkpoint."""
    DISK_ERROR = EX_IOERR
    """It could not write a file, for example on a full disk. Its last checkpoint is whole."""
