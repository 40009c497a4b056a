"""Servers that share a database and a store folder, and that can be killed and started again."""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.server.hosting.processes import ROOT, SERVE

_START_SECONDS: Final = 300.0


@dataclass(slots=True, eq=False)
class SharingServer:
    """One server. It keeps its port when it is started again.

    `killed_at` has the moments of `time.monotonic` at which it was killed.
    """

    store: Path
    backbone: Path
    database_url: str
    log: Path
    port: int = 0
    killed_at: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        size = self.log.stat().st_size if self.log.exists() else 0
        flags = {"store-folder": self.store, "backbone": self.backbone, "port": self.port}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*SERVE, *(f"--{name}={value}" for name, value in flags.items())],
                cwd=ROOT,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONPATH": str(ROOT),
                    "POLYPREFIX_DATABASE_URL": self.database_url,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.port = self._announced_port(size)

    def kill(self) -> None:
        """End the server without a warning."""
        assert self._process is not None
        self.killed_at.append(time.monotonic())
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _announced_port(self, after: int) -> int:
        """Return the port that the log names after a number of bytes."""
        assert self._process is not None
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            text = self.log.read_bytes()[after:].decode(errors="replace")
            found = re.search(r"listens on http://[^\s:]+:(\d+)", text)
            if found:
                return int(found[1])
            assert self._process.poll() is None, f"the server ended while it started: {text}"
            time.sleep(0.05)
        raise AssertionError(f"the server did not start within {_START_SECONDS} s: {text}")
