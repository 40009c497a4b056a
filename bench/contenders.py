"""Worker: a contender in a process of its own, spoken to in JSON lines."""

import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]
_SCRIPTS: Final = Path(__file__).parent / "workers"
_SECONDS: Final = 1800
"""Longer than any load or round takes; after that a worker counts as stuck."""


class WorkerFailed(Exception):
    """A worker could not do what it was asked; the message is its own."""


class Worker:
    """A running script of `bench/workers`. Close it, or use it in a `with`."""

    def __init__(self, python: str | Path, script: str, *, num_threads: int) -> None:
        """Start `workers/SCRIPT.py` in the environment of a Python."""
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed below
        self._process = subprocess.Popen(
            [str(python), str(_SCRIPTS / f"{script}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment_variables(num_threads),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, job: dict[str, Any]) -> dict[str, list[str]]:
        """Make a job's contenders; returns their names by workload. Raises WorkerFailed."""
        contenders: dict[str, list[str]] = self._ask({"do": "load", "job": job})["contenders"]
        return contenders

    def run(self, workload: str, contender: str) -> tuple[float, int]:
        """Run a contender once: seconds and the texts it answered. Raises WorkerFailed."""
        reply = self._ask({"do": "run", "workload": workload, "contender": contender})
        return reply["seconds"], reply["rows"]

    def peak_bytes(self) -> int:
        """Give the most memory that it has taken so far; from /proc, so on Linux."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        (line,) = (each for each in status.splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._last_words()) from None
        readable, _, _ = select.select([self._process.stdout], [], [], _SECONDS)
        if not readable:
            raise WorkerFailed(f"no answer within {_SECONDS} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerFailed(reply["error"])
        return reply

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line for line in self._log.read().splitlines() if line.strip()]
        return f"ended with exit code {code}: {lines[-1] if lines else 'without a word'}"


def environment_variables(num_threads: int) -> dict[str, str]:
    """Give a contender's process its threads, our packages, and no reason to use the network."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",  # infinity, which otherwise reports its use
        "CI": "true",  # OpenVINO, likewise: with it, it waits for no answer
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        # Freed memory is kept for the next batch, as our server has it: so for everybody.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
    }
