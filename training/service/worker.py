"""The worker process of one training job: `python -m training.service.worker FOLDER NICENESS`.

`training.service.protocol.worker` documents the files that it reads and writes, and its exit codes.
SIGTERM, or the end of standard input, stops it at its next step, with a checkpoint. The server
holds the other end of standard input, so that its workers stop when it dies.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    """Train what the job in the folder on the command line describes."""
    # Until its handler is set, SIGTERM waits: an exit by the signal itself counts as a crash.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _lower_priority(int(sys.argv[2]))
    from training.service.execution import execute_job  # noqa: PLC0415 - at the lower priority

    os.chdir(sys.argv[1])  # paths are relative from here on, so that reports do not disclose it
    sys.exit(execute_job())


def _lower_priority(niceness: int) -> None:
    """Let other programs go first: for a processor, and when memory runs out."""
    os.nice(niceness)
    # Linux shares processors among sessions first: niceness counts only within a session.
    for name, value in (("autogroup", str(niceness)), ("oom_score_adj", "1000")):
        with suppress(OSError):  # not Linux, or not permitted in this container
            Path("/proc/self", name).write_text(value, encoding="ascii")


if __name__ == "__main__":
    main()
