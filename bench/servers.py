"""The servers under load: ours with a thousand tasks, infinity with one fine-tuned model."""

import json
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.contenders import ROOT, environment_variables
from bench.environments import environment
from bench.kernels import KernelSettings
from bench.load import Load, LoadPlan
from bench.processes import Server, ServerFailed, server_process
from bench.stores import Store

_LOAD_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Target:
    """A running server, the requests that it gets, and its kernels if they are known."""

    server: Server
    path: str
    bodies: list[str]
    headers: dict[str, str] = field(default_factory=dict)
    kernels: dict[str, str] = field(default_factory=dict)

    def plan(self, bodies: list[str] | None = None, **how: Any) -> LoadPlan:
        """Plan a load of its own bodies or of others; `how` is passed to LoadPlan."""
        return LoadPlan(
            host=self.server.host,
            port=self.server.port,
            path=self.path,
            bodies=self.bodies if bodies is None else bodies,
            headers=self.headers,
            **how,
        )


@contextmanager
def ours(
    folder: Path,
    store: Store,
    texts: Sequence[str],
    *,
    dtype: str,
    num_threads: int,
    num_front_ends: int,
    kernels: KernelSettings,
) -> Iterator[Target]:
    """Serve a store's tasks; each body is a text for a random task."""
    kernels.share(store.kernel_cache)
    flags = {"store-folder": store.folder, "backbone": folder, "dtype": dtype, "port": 0}
    flags |= {"device": "cpu", "num-threads": num_threads, "num-front-ends": num_front_ends}
    flags |= kernels.flags()
    options = [f"--{name}={value}" for name, value in flags.items()]
    serving = server_process(
        [sys.executable, "-m", "server", "serve", *options],
        num_threads=num_threads,
        announced=r"listens on http://[^\s:]+:(\d+)",
        ready="/readyz",
    )
    with serving as server:
        rng = random.Random(0)  # noqa: S311 - a benchmark, no secret
        bodies = [body(rng.choice(store.tasks), text) for text in texts]
        headers = {"Authorization": f"Bearer {store.key}"}
        chosen = kernels.served(store.kernel_cache, dtype)
        yield Target(server, "/v1/classify", bodies, headers, chosen)


def body(task: str, text: str) -> str:
    """Return the body of a request that classifies one text."""
    return json.dumps({"model": task, "input": text})


@contextmanager
def infinity(
    folder: Path, texts: Sequence[str], *, dtype: str, num_threads: int
) -> Iterator[Target]:
    """Serve the fine-tuned model in a folder with infinity's own command.

    Raises:
        EnvironmentUnavailable: when infinity cannot be installed.
        ServerFailed: when it does not start.
    """
    port = _free_port()
    flags = {"model-id": folder, "served-model-name": "one", "engine": "torch", "device": "cpu"}
    flags |= {"dtype": dtype, "host": "127.0.0.1", "port": port, "log-level": "error"}
    options = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    serving = server_process(
        # Its other engine needs packages that are incompatible with it.
        [str(environment("infinity") / "infinity_emb"), "v2", *options, "--no-bettertransformer"],
        num_threads=num_threads,
        announced=None,
        ready="/health",
        port=port,
    )
    with serving as server:
        bodies = [json.dumps({"model": "one", "input": [text]}) for text in texts]
        yield Target(server, "/classify", bodies)


def send(plan: LoadPlan) -> Load:
    """Send a load from a separate process, and wait for its end.

    Raises:
        ServerFailed: when a request was not answered with 200.
    """
    return Sending(plan).flawless_result()


class Sending:
    """A load that a separate process is sending."""

    def __init__(self, plan: LoadPlan) -> None:
        """Start the process."""
        # A pipe holds only 64 KiB: without a reader, a long load would block.
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read by `result`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=ROOT,
            env=environment_variables(1),
            stdin=subprocess.PIPE,
            stdout=self._output,
            text=True,
        )
        assert self._process.stdin is not None
        json.dump(asdict(plan), self._process.stdin)
        self._process.stdin.close()
        self._process.stdin = None

    @property
    def is_done(self) -> bool:
        return self._process.poll() is not None

    def result(self) -> Load:
        """Wait for its end. Raises ServerFailed when it could not be sent."""
        try:
            self._process.wait(timeout=_LOAD_SECONDS)
        finally:
            self._process.kill()
        if self._process.returncode:
            raise ServerFailed("the load could not be sent: the server does not respond")
        with self._output as output:
            output.seek(0)
            return Load(**json.load(output))

    def flawless_result(self) -> Load:
        """Wait for its end. Raises ServerFailed when a request was not answered with 200."""
        load = self.result()
        if load.errors or not load.latencies:
            raise ServerFailed(f"{load.num_sent} requests, errors: {load.errors or 'no response'}")
        return load


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
