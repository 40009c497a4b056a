"""Runs a command in several processes that train together, and ends them together."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import IO, Final

_SECONDS_BETWEEN_LOOKS: Final = 0.1
_SECONDS_TO_END: Final = 10.0


def is_one_of_several() -> bool:
    """Return whether this process was started as one of several that train together."""
    return "WORLD_SIZE" in os.environ


def run_together(command: Sequence[str], count: int) -> int:
    """Run a command in `count` processes that train together; return one exit code for all.

    If one process fails, the others are terminated. Only the first process writes to standard
    error. The standard error of another one is shown only if it failed before the rest. Ctrl-C and
    SIGTERM are passed on to all, and each has the time to save its progress.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        captured = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(1, count)]
        errors: list[IO[bytes] | None] = [None, *captured]
        processes = [
            subprocess.Popen(  # noqa: S603 - the command that runs here
                command, stderr=error, env=_environment(number, count, port)
            )
            for number, error in enumerate(errors)
        ]
        try:
            failed = _first_that_fails(processes)
        except KeyboardInterrupt:
            _end(processes, None)  # no time limit: the user can press Ctrl-C again
            failed = None
        finally:
            _end(processes, _SECONDS_TO_END)
        if failed is None:
            return processes[0].returncode
        code = processes[failed].returncode
        if failed > 0 or code < 0:
            _report(failed, code, errors[failed])
        return code if code > 0 else 1


def _environment(number: int, count: int, port: int) -> dict[str, str]:
    from prefixes.cores import num_usable_cores  # noqa: PLC0415 - `--help` needs no numpy

    cores = max(1, num_usable_cores() // count)
    return {
        "OMP_NUM_THREADS": str(cores),
        **os.environ,
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _first_that_fails(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    while True:
        codes = [process.poll() for process in processes]
        failed = [number for number, code in enumerate(codes) if code]
        if failed:
            # If one process is killed, others then fail with an exit code: report the killed one.
            return min(failed, key=lambda number: (codes[number] or 0) > 0)
        if None not in codes:
            return None
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _end(processes: Sequence[subprocess.Popen[bytes]], seconds: float | None) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _report(number: int, code: int, error: IO[bytes] | None) -> None:
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    sys.stderr.write(
        f"polyprefix: Process {number} of the training {how}. All others were terminated.\n"
    )
    if error is not None:
        error.seek(0)
        sys.stderr.write(error.read().decode(errors="replace"))
