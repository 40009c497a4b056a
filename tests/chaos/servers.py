"""Servers that share a database and a bucket, and that can be killed and started again."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.server.hosting.processes import ROOT, SERVE

_START_SECONDS: Final = 300.0


class Address(Protocol):
    """A server that answers at a URL."""

    @property
    def url(self) -> str: ...


@dataclass(slots=True, eq=False)
class SharingServer:
    """One server. It keeps its port when it is started again.

    `prefix` runs its command, `settings` are variables of its environment, and `code` is the
    folder of the program.
    """

    folder: Path
    backbone: Path
    settings: Mapping[str, str]
    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    code: Path = ROOT
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _log_start: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self) -> None:
        """Start the server, and wait until it listens."""
        self.launch()
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process of the server."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        flags = {
            "store-folder": self.folder,
            "backbone": self.backbone,
            "host": self.host,
            "port": self.port,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *SERVE, *(f"--{name}={value}" for name, value in flags.items())],
                cwd=self.code,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONPATH": str(self.code),
                    **self.settings,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_it_listens(self) -> None:
        """Wait until the log of the process names its port."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            text = self.log.read_bytes()[self._log_start :].decode(errors="replace")
            found = re.search(r"listens on http://[^\s:]+:(\d+)", text)
            if found:
                self.port = int(found[1])
                return
            assert self.is_running, f"the server ended while it started: {text}"
            time.sleep(0.05)
        raise AssertionError(f"the server did not start within {_START_SECONDS} s: {text}")

    def kill(self) -> None:
        """End the server without a warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Let the server answer what is in flight, and end; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(by)
        return self._process.wait()
