"""A server on Ray in a network namespace of its own, and clients of it.

Ray listens on all addresses of a machine, whatever it is told. In the namespace there is only the
loopback. A relay gives clients outside of it a Unix socket. Another one lets the server reach
services outside of it.
"""

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.rest import new_registry, put, put_some

ROOT = Path(__file__).parents[4]
RELAY = Path(__file__).with_name("relay.py")
PORT = 8000
NAMESPACE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
SERVE = (sys.executable, "-P", "-m", "server", "serve", "--ray", "--port", str(PORT))
OUTPUT = "output"
START_SECONDS = 600
REPLACEMENT_SECONDS = 180
NUM_REPLICAS = 4
"""Of both deployments, with `SETTINGS`."""
NUM_REPORTS = 6
"""One of two ingress replicas answers, so one that knows too few replicas soon shows."""
SETTINGS = {
    "POLYPREFIX_DEVICE": "cpu",
    "POLYPREFIX_DTYPE": "float32",
    "POLYPREFIX_LINEAR_KERNEL": "torch",
    "POLYPREFIX_ATTENTION_KERNEL": "torch",
    "POLYPREFIX_RAY_ENGINE_REPLICAS": "2",
    "POLYPREFIX_RAY_ENGINE_CPUS": "0.5",
}
WITH_RELAY = 'ip link set lo up; "$1" "$2" "$3" & shift 3; exec "$@"'

TASKS = [f"acme/task-{number}" for number in range(8)]
UNUSED_TASKS = [f"acme/unused-{number}" for number in range(20)]
"""Tasks for one test, which counts when their prefixes are loaded."""


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
    process: subprocess.Popen[bytes]
    home: Path
    keys: dict[str, str]
    namespace: Path | None = None

    @property
    def socket(self) -> Path:
        """The socket that clients connect to."""
        return self.home / "http"

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
        """All processes in the namespace, also after the server has exited."""
        pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if self.namespace and _namespace(pid) == self.namespace]

    def await_start(self) -> None:
        """Wait until the server writes that it listens."""
        deadline = time.monotonic() + START_SECONDS
        while "listens on http" not in (output := (self.home / OUTPUT).read_text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{output[-8000:]}")
            if (found := _namespace(self.process.pid)) not in {None, _namespace(os.getpid())}:
                self.namespace = found
            time.sleep(0.1)

    def await_replicas(self) -> None:
        """Wait until every replica serves, as each ingress replica sees it."""
        deadline = time.monotonic() + REPLACEMENT_SECONDS
        num_reports = 0
        while num_reports < NUM_REPORTS:
            found = self.samples("polyprefix_prefix_load_seconds_count")
            num_reports = num_reports + 1 if len(found) == NUM_REPLICAS else 0
            assert time.monotonic() < deadline, f"{len(found)} of {NUM_REPLICAS} replicas serve"
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill everything in the namespace."""
        self.process.kill()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

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


def ask(client: httpx.Client, task: str) -> httpx.Response:
    return client.post("/v1/predict", json={"model": task, "input": "a good film"})


def numbers_in(value: Any) -> list[float]:
    """All numbers of an answer but its times, in order."""
    if isinstance(value, dict):
        value = [each for name, each in value.items() if name != "timings_ms"]
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    return [float(value)] if isinstance(value, int | float) else []


@contextmanager
def ray_server(folder: Path, backbone: Backbone, backbone_folder: Path) -> Iterator[RayServer]:
    """Start a server with two replicas of the engine, `TASKS`, and prefixes of each kind."""
    registry, keys = new_registry(folder / "store")
    put_some(registry, backbone.fingerprint)
    for seed, task in enumerate(TASKS + UNUSED_TASKS, start=100):  # files of their own
        put(registry, task, make_prefix(backbone.fingerprint, seed=seed))
    registry.close()
    flags = ("--store-folder", str(folder / "store"), "--backbone", str(backbone_folder))
    with running_server(keys, *flags) as server:
        yield server


@contextmanager
def running_server(
    keys: dict[str, str], *flags: str, ports: Sequence[int] = ()
) -> Iterator[RayServer]:
    """Start a server, the only one on Ray of all tests that run at a time.

    Ends everything in its namespace at the end.

    Args:
        keys: keys of tenants, for clients.
        flags: flags of the command `serve`.
        ports: ports of services on the loopback outside, which the server reaches as its own.
    """
    # Ray has sockets in its folder, and the path of a socket may have 107 bytes.
    with (
        _only_one(),
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as home,
        _relaying(*(f"{home}/{port}={port}" for port in ports)),
    ):
        relay = _relay(f"{home}/http={PORT}", *(f"{port}={home}/{port}" for port in ports))
        server = RayServer(_start(home, *relay, *SERVE, *flags), Path(home), keys)
        try:
            server.await_start()
            yield server
        finally:
            server.kill()


def _start(home: str, *command: str) -> subprocess.Popen[bytes]:
    environment = {
        "HOME": home,  # Ray keeps a token there
        "RAY_TMPDIR": home,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client"))),
        "PYTHONUNBUFFERED": "1",
    }
    # Not a pipe: when it is full, the server waits for a reader.
    with Path(home, OUTPUT).open("w") as output:
        return subprocess.Popen(
            [*NAMESPACE[:4], WITH_RELAY, "sh", *command],
            cwd=ROOT,
            env={**os.environ, **environment, **SETTINGS},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _relay(*pairs: str) -> tuple[str, ...]:
    return sys.executable, str(RELAY), ",".join(pairs)


@contextmanager
def _relaying(*pairs: str) -> Iterator[None]:
    if not pairs:
        yield
        return
    process = subprocess.Popen(_relay(*pairs))
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _only_one() -> Iterator[None]:
    """Wait until no other test has a server on Ray. One has a dozen processes."""
    with Path(tempfile.gettempdir(), f"polyprefix-ray-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
