"""A server on Ray in a network namespace of its own, and clients of it.

Ray listens on all addresses of a machine, whatever it is told. In the namespace there is only the
loopback. A relay gives clients outside of it a Unix socket.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[4]
RELAY = Path(__file__).with_name("relay.py")
PORT = 8000
NAMESPACE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
WITH_RELAY = 'ip link set lo up; "$1" "$2" "$3" "$4" & shift 4; exec "$@"'


def why_not() -> str | None:
    """Why there cannot be such a server here; None if there can."""
    if importlib.util.find_spec("ray") is None:
        return "needs the extra `ray`"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "needs `unshare` of util-linux, and `ip` of iproute2"
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        return "needs the right to make a network namespace"
    return None


@dataclass
class RayServer:
    process: subprocess.Popen[str]
    socket: Path
    keys: dict[str, str]

    def client(self, tenant: str = "acme") -> httpx.Client:
        return httpx.Client(
            base_url="http://ray",
            transport=httpx.HTTPTransport(uds=str(self.socket)),
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
            timeout=60,
        )

    def replicas(self, deployment: str) -> list[int]:
        """The processes of the replicas of a deployment."""
        title = f"ray::ServeReplica:polyprefix:{deployment}".encode()
        return [pid for pid in self.processes() if _command(pid).startswith(title)]

    def processes(self) -> list[int]:
        """All processes in the namespace."""
        inside = _namespace(self.process.pid)
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if _namespace(pid) == inside is not None]

    def samples(self, name: str) -> list[float]:
        """The values of a metric, one for each replica that exports it."""
        with self.client() as client:
            text = client.get("/metrics").text
        return [
            float(value)
            for value in re.findall(rf"^{name}{{replica=.*}} (\S+)$", text, re.MULTILINE)
        ]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _namespace(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink()
    except OSError:
        return None


@contextmanager
def ray_server(
    store: Path, keys: dict[str, str], *flags: str, **settings: str
) -> Iterator[RayServer]:
    """Start a server on Ray. Ends everything in its namespace at the end."""
    # Ray has sockets in its folder, and the path of a socket may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as home:
        path = Path(home, "http")
        relay = (sys.executable, str(RELAY), str(path), str(PORT))
        serve = (sys.executable, "-P", "-m", "server", "serve", "--ray", "--port", str(PORT))
        process = subprocess.Popen(
            [
                *NAMESPACE[:4],
                WITH_RELAY,
                "sh",
                *relay,
                *serve,
                "--store-folder",
                str(store),
                *flags,
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "HOME": home,  # Ray keeps a token there
                "RAY_TMPDIR": home,
                "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client"))),
                "PYTHONUNBUFFERED": "1",
                **{f"POLYPREFIX_{name.upper()}": value for name, value in settings.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        server = RayServer(process, path, keys)
        pids: Sequence[int] = ()
        try:
            _await_start(process)
            pids = server.processes()
            yield server
        finally:
            for pid in {*pids, *server.processes()}:
                if _namespace(pid) not in {None, _namespace(os.getpid())}:
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _await_start(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "listens on http" in line:
            return
    raise AssertionError("the server did not start:\n" + "".join(lines[-40:]))
