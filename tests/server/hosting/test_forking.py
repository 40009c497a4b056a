"""Forked processes behave as those of `Popen`."""

import io
import socket
import subprocess
import sys

from tests.server.hosting.forking import ForkedProcess


def test_a_process_that_was_waited_for_before_its_exit_code_came_can_be_killed() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        theirs.sendall(str(ended.pid).encode())
        process = ForkedProcess(ours, io.StringIO())
        process.kill()
        theirs.sendall(b"-9")
        assert process.wait() == -9
