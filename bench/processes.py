"""Server processes: starting them, waiting for readiness, and measuring them with /proc."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.error import URLError
from urllib.request import urlopen

from bench.contenders import ROOT, environment_variables

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_SECONDS: Final = 300
_POLL: Final = 0.1


class ServerFailed(Exception):
    """A server did not start, or died; the message has its last output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves HTTP, and the seconds until it was ready."""

    pid: int
    host: str
    port: int
    start_seconds: float

    def cpu_seconds(self) -> float:
        """Return the CPU time that it and its children have used so far."""
        total = 0
        for pid in _family(self.pid):
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])  # user and system time, in ticks
        return total / _TICKS

    def memory_bytes(self) -> int:
        """Return its and its children's memory that no file backs; shared memory counts once."""
        own, shared = 0, [0]
        for pid in _family(self.pid):
            status = (_PROC / str(pid) / "status").read_text()
            sizes = {name: int(kib) * 1024 for name, kib in _SIZES.findall(status)}
            own += sizes["RssAnon"]
            shared.append(sizes["RssShmem"])
        return own + max(shared)


_SIZES: Final = re.compile(r"^(RssAnon|RssShmem):\s+(\d+) kB$", re.MULTILINE)


def busy_seconds() -> float:
    """Return the CPU seconds for which all cores were busy so far, or ran other machines."""
    first = (_PROC / "stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _idle, _waiting, *interrupts = map(int, first.split()[1:9])
    return (user + nice + system + sum(interrupts)) / _TICKS


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in (_PROC / str(pid) / "task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _family(int(child))


@contextmanager
def server_process(
    command: Sequence[str], *, num_threads: int, announced: str | None, ready: str, port: int = 0
) -> Iterator[Server]:
    """Run a server until the block ends.

    Args:
        command: program and arguments.
        num_threads: threads of its forward pass, set by environment variables.
        announced: pattern of an output line that contains its port; None if `port` is given.
        ready: path that returns 200 when the server is ready.
        port: port that it listens on.

    Raises:
        ServerFailed: when it does not become ready.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment_variables(num_threads), "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            host, at = "127.0.0.1", port
            while not (at and _answers(f"http://{host}:{at}{ready}")):
                _check_alive(process, log, started)
                time.sleep(_POLL)
                at = at or _announced_port(log, announced)
            yield Server(process.pid, host, at, time.perf_counter() - started)
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _announced_port(log: IO[str], pattern: str | None) -> int:
    found = re.search(pattern, _text(log)) if pattern else None
    return int(found[1]) if found else 0


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - the URL is our own
            return bool(answer.status == 200)
    except (URLError, TimeoutError, ConnectionError):
        return False


def _check_alive(process: subprocess.Popen[bytes], log: IO[str], started: float) -> None:
    lines = _text(log).strip().splitlines()
    last = lines[-1] if lines else "nothing"
    if process.poll() is not None:
        raise ServerFailed(
            f"the server ended with exit code {process.returncode}; last output: {last}"
        )
    if time.perf_counter() - started > _START_SECONDS:
        raise ServerFailed(
            f"the server was not ready within {_START_SECONDS} s; last output: {last}"
        )


def _text(log: IO[str]) -> str:
    """Read a process's output without moving the file position, which the process shares."""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), size, 0).decode(errors="replace")
