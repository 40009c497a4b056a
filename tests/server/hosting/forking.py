"""Server processes that are forked from one that has already imported the server.

The imports take nearly all of the CPU time of a start. A forked process runs the same command, with
its own arguments, environment and working folder.
"""

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_MAX_REQUEST_BYTES: Final = 1_000_000


class ForkedProcess:
    """A forked process, with the methods of `Popen` that tests use."""

    def __init__(self, status: socket.socket, stdout: IO[str]) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._status = status
        self.pid = int(status.recv(16))

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code; negative for a signal."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                code = self._status.recv(16)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("serve", timeout or 0.0) from None
            self.returncode = int(code)
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has exited."""
        if self.poll() is None:
            # It may have been waited for, and its exit code not be sent yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork_command(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]
) -> ForkedProcess:
    """Run `polyprefix` with these arguments in a forked process. Its stderr is discarded."""
    # The process id and the exit code are one message each.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output, stdout = os.pipe()
    request = {"arguments": arguments, "folder": str(folder), "environment": dict(environment)}
    with theirs:
        sent = json.dumps(request).encode()
        socket.send_fds(_forker(), [sent], [stdout, theirs.fileno()])
    os.close(stdout)
    return ForkedProcess(ours, os.fdopen(output))


@functools.cache
def _forker() -> socket.socket:
    """Start the process that forks the others, once for each process of the test runner."""
    # One message for each request, however long it is.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_REQUEST_BYTES)
    root = Path(__file__).parents[3]
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": str(root),
            },
            cwd=root,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


def _import_the_server() -> Callable[[], None]:
    """Import all that `serve` needs; return the command."""
    from server.command_line.openmp import limit_spinning

    limit_spinning()
    import server.hosting.assembly  # noqa: F401
    from server.command_line.main import main

    return main


def _fork_until_closed(requests: socket.socket) -> bool:
    """Fork a process for each request. Returns True in each of them, and False at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that watch
    while True:
        data, files, _, _ = socket.recv_fds(requests, _MAX_REQUEST_BYTES, 2)
        if not data:
            return False
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _watch_the_command(json.loads(data), *files)
        for descriptor in files:
            os.close(descriptor)


def _watch_the_command(request: dict[str, object], stdout: int, status: int) -> bool:
    """Fork the process of the command and report how it exits. Returns True in that process."""
    process = os.fork()
    if process:
        os.close(stdout)
        with socket.socket(fileno=status) as channel:
            channel.sendall(str(process).encode())
            _, code = os.waitpid(process, 0)
            channel.sendall(str(os.waitstatus_to_exitcode(code)).encode())
        os._exit(0)
    os.close(status)
    os.dup2(stdout, 1)
    os.close(stdout)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.close(silent)
    assert isinstance(request["environment"], dict)
    assert isinstance(request["arguments"], list)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(str(request["folder"]))
    sys.argv[1:] = request["arguments"]
    return True


if __name__ == "__main__":
    command = _import_the_server()
    if _fork_until_closed(socket.socket(fileno=int(sys.argv[1]))):
        command()
