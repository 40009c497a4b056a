"""Worker: a contender in a separate process that is controlled by JSON lines."""

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[1]
_SCRIPTS: Final = Path(__file__).parent / "workers"
_SECONDS: Final = 1800
"""Longer than any load or round; after this time, a worker is considered hung."""


class WorkerFailed(Exception):
    """A worker failed to execute a command; the message is the worker's."""


Place = tuple[str, str]
"""A workload and a contender in it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a contender: its kernels, and its number of operations per run, or 0."""

    kernels: Mapping[str, str]
    operations: int


class Worker:
    """A running script of `bench/workers`. Close it, or use it as a context manager."""

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

    def load(self, job: dict[str, Any]) -> dict[Place, Facts]:
        """Create the contenders of a job and return facts about each. Raises WorkerFailed."""
        contenders = self._ask({"do": "load", "job": job})["contenders"]
        return {
            (workload, name): Facts(**facts)
            for workload, each in contenders.items()
            for name, facts in each.items()
        }

    def run(self, workload: str, contender: str) -> tuple[float, int]:
        """Run a contender once; return the seconds and the number of texts. Raises WorkerFailed."""
        reply = self._ask({"do": "run", "workload": workload, "contender": contender})
        return reply["seconds"], reply["rows"]

    def run_timed(self, workload: str, contender: str) -> tuple[float, list[float]]:
        """Run a closed loop; return the seconds and each text's latency. Raises WorkerFailed."""
        reply = self._ask({"do": "run", "workload": workload, "contender": contender})
        return reply["seconds"], reply["latencies"]

    def peak_bytes(self) -> int:
        """Return the worker's peak memory so far. Needs /proc, and hence Linux."""
        return self._memory("VmHWM")

    def resident_bytes(self) -> int:
        """Return the worker's memory now, files that it has mapped included."""
        return self._memory("VmRSS")

    def memory_bytes(self) -> int:
        """Return the worker's memory, with its share of shared pages (PSS). Needs Linux."""
        rollup = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="utf-8")
        (line,) = (each for each in rollup.splitlines() if each.startswith("Pss:"))
        return int(line.split()[1]) * 1024

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                # A command that a dead worker has not read is flushed again.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _memory(self, field: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        (line,) = (each for each in status.splitlines() if each.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

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
        return f"ended with exit code {code}: {lines[-1] if lines else 'no output'}"


def environment_variables(num_threads: int) -> dict[str, str]:
    """Return the environment of a contender: its threads, our packages, and no network use."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(num_threads),
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",  # keeps infinity and vLLM from reporting their use
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # saves vLLM a hop to another process
        "CI": "true",  # keeps OpenVINO from reporting its use and waiting for the response
        "TRANSFORMERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        # Freed memory is kept for the next batch. Our server does this, so all contenders do.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**30),
    }
