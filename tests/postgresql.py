"""A real PostgreSQL for tests: on a free loopback port, in a folder of its own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

_BINARIES: Final = Path("/usr/lib/postgresql")
_USER: Final = "polyprefix"
_START_SECONDS: Final = 60
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    # Not UTC, so that a time whose zone is ignored is a wrong time.
    "timezone": "Asia/Kolkata",
}
# Orders text by the rules of a language, as most installations do, and not by code point.
_INITDB: Final = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")


class PostgresServer:
    """A PostgreSQL that can be stopped and started again."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._identity = _unprivileged(self._folder)
        self._run("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync", *_INITDB)
        self.port = _free_port()

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": self.port}.items()]
        self._process = subprocess.Popen(
            [self._binaries / "postgres", "-D", self._data, *options],
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._identity,
        )
        self._wait()

    def stop(self) -> None:
        """End the server and all its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # does not wait for clients
            self._process.wait(timeout=60)
            self._process = None

    def kill(self) -> None:
        """Kill all processes of the server, as the kernel does when memory runs out."""
        assert self._process is not None
        processes = self._pids()
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        self._process.wait(timeout=60)
        self._process = None
        while any(map(_is_running, processes)):  # a start waits for their shared memory
            time.sleep(0.01)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let the server accept connections and answer nothing, as with a disk that hangs."""
        processes = self._pids()
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in processes:
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, as an operator would write it."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Create a database, a copy of `template`; return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and end its connections."""
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Execute a statement outside a transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _pids(self) -> list[int]:
        """Return the ids of the server's processes, the first one's first."""
        assert self._process is not None
        first = self._process.pid
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
        return [first, *map(int, children.split())]

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command: list[str | Path] = [self._binaries / program, "-D", self._data, *arguments]
        done = subprocess.run(
            command, cwd="/", capture_output=True, text=True, check=False, **self._identity
        )
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS
        assert self._process is not None
        while True:
            assert self._process.poll() is None, "PostgreSQL ended while it started"
            try:
                self.execute("SELECT 1")
            except Exception:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.05)
            else:
                return


def start_postgresql() -> PostgresServer:
    """Start a PostgreSQL, or skip the test where it or its driver is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    installed = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not installed:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    server = PostgresServer(installed[-1].parent)
    server.start()
    return server


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Return a user for the server, because it refuses to run as root; give it the folder."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
