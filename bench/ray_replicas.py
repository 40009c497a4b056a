"""Measures what replicas on Ray add to a request, and how evenly they share the traffic.

Runs a server on a local Ray cluster, and in the same cluster an empty application with the same
hops: proxy, ingress, engine. Ray listens on all addresses, so run it in a network namespace:

    unshare -n sh -c 'ip link set lo up && exec python -m bench.ray_replicas'
"""

import argparse
import json
import os
import re
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.config import RequestRouterConfig

from bench.stores import Store, make_store
from prefixes.backbone import load_backbone
from server.hosting.ray.application import NAME, build
from server.hosting.ray.router import TaskAffinityRouter
from server.settings import Settings

_PORT: Final = 8000
_TEXT: Final = "my card has not arrived yet"


class EmptyEngine:
    """Answers nothing, at once."""

    async def answer(self, call: str, *, task: str, num_tokens: int, attempt: int) -> str:  # noqa: ARG002
        return call


class EmptyIngress:
    """Passes a request on, with nothing else to do."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/classify")
        async def classify(body: dict[str, str]) -> str:
            found: str = await self._engine.answer.remote(
                body["input"], task=body["model"], num_tokens=7, attempt=0
            )
            return found

        return app


def _empty(*, is_routed: bool) -> Any:
    router = RequestRouterConfig()
    if is_routed:
        router = RequestRouterConfig(
            request_router_class=TaskAffinityRouter,
            request_router_kwargs={"slack_tokens": 128},
        )
    options = {"num_replicas": 2, "max_ongoing_requests": 2048}
    name = "routed" if is_routed else "default"
    engine = serve.deployment(
        EmptyEngine,
        name=f"engine-{name}",
        ray_actor_options={"num_cpus": 0},
        request_router_config=router,
        **options,
    )
    ingress = serve.deployment(
        serve.ingress()(EmptyIngress),
        name=f"ingress-{name}",
        ray_actor_options={"num_cpus": 0},
        **options,
    )
    return ingress.bind(engine.bind())


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of the requests of one way."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        cuts = statistics.quantiles([1000 * each for each in seconds], n=100)
        return cls(round(cuts[49], 2), round(cuts[98], 2))


@contextmanager
def _cluster(settings: Settings) -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        configure_logging=False,
        log_to_driver=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": _PORT})
    serve.run(_empty(is_routed=False), name="default", route_prefix="/default")
    serve.run(_empty(is_routed=True), name="routed", route_prefix="/routed")
    serve.run(build(settings), name=NAME, route_prefix="/")
    try:
        yield
    finally:
        for name in (NAME, "default", "routed"):
            serve.delete(name)
        serve.shutdown()
        ray.shutdown()


def _times(client: httpx.Client, store: Store, num: int) -> dict[str, Any]:
    """Ask the three applications in turn, so that a slow moment hits all of them."""
    seconds: dict[str, list[float]] = {"default": [], "routed": [], "polyprefix": []}
    device: list[float] = []
    paths = {"default": "/default", "routed": "/routed", "polyprefix": ""}
    for number in range(num):
        body = {"model": f"{store.tenant}/{store.tasks[number % 8]}", "input": _TEXT}
        for name, path in paths.items():
            started = time.perf_counter()
            response = client.post(f"{path}/v1/classify", json=body)
            seconds[name].append(time.perf_counter() - started)
            response.raise_for_status()
        timings = response.json()["timings_ms"]
        device.append((timings["device"] + timings["queue"]) / 1000)
    found = {name: Times.of(each[num // 4 :]) for name, each in seconds.items()}
    without = [total - own for total, own in zip(seconds["polyprefix"], device, strict=True)]
    return {
        **{f"{name}_ms": _numbers(each) for name, each in found.items()},
        "polyprefix_without_device_ms": _numbers(Times.of(without[num // 4 :])),
    }


def _numbers(times: Times) -> dict[str, float]:
    return {"p50": times.p50, "p99": times.p99}


def _shares(
    client: httpx.Client, store: Store, seconds: float, choose: Callable[[int], int]
) -> list[float]:
    """Return the part of the rows that each engine replica answered under load."""
    before = _rows(client)
    stop = time.monotonic() + seconds

    def keep_asking(number: int) -> None:
        while time.monotonic() < stop:
            task = store.tasks[choose(number)]
            body = {"model": f"{store.tenant}/{task}", "input": _TEXT}
            client.post("/v1/classify", json=body).raise_for_status()
            number += 7

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(keep_asking, range(16)))
    after = _rows(client)
    counts = [after[name] - before[name] for name in after if after[name] > 0]
    return [round(count / sum(counts), 3) for count in counts]


def _under_load(client: httpx.Client, store: Store, event: Callable[[], None]) -> dict[str, Any]:
    """Return the responses by status, and the slowest one, while something happens."""
    statuses: Counter[str] = Counter()
    seconds: list[float] = []
    stop = threading.Event()

    def keep_asking(number: int) -> None:
        while not stop.is_set():
            body = {"model": f"{store.tenant}/{store.tasks[number % 64]}", "input": _TEXT}
            started = time.perf_counter()
            statuses[str(client.post("/v1/classify", json=body).status_code)] += 1
            seconds.append(time.perf_counter() - started)
            number += 7

    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(keep_asking, number) for number in range(8)]
        try:
            event()
        finally:
            stop.set()
        for one in asking:
            one.result()
    return {"statuses": dict(statuses), "slowest_seconds": round(max(seconds), 2)}


def _redeploy(settings: Settings) -> None:
    """Replace all replicas of the engine, one by one."""
    changed = settings.model_copy(update={"ray_engine_cpus": 0.9})
    serve.run(build(changed), name=NAME, route_prefix="/")


def _kill_a_replica() -> None:
    """Kill a replica of the engine, and wait until there is another one."""
    victim = _engines()[0]
    os.kill(victim, signal.SIGKILL)
    while len([pid for pid in _engines() if pid != victim]) < 2:
        time.sleep(0.1)
    time.sleep(2)


def _engines() -> list[int]:
    """Return the processes of the engine's replicas in this network namespace."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_engine(path)]


def _is_engine(process: Path) -> bool:
    try:
        title = (process / "cmdline").read_bytes()
        is_here = (process / "ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError:  # it has exited
        return False
    return is_here and title.startswith(f"ray::ServeReplica:{NAME}:engine".encode())


def _rows(client: httpx.Client) -> dict[str, float]:
    text = client.get("/metrics").text
    found = re.findall(r'^polyprefix_batch_rows_sum{replica="(\w+)"} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def measure(folder: Path, num: int, seconds: float) -> Iterator[tuple[str, Any]]:
    """Measure, in a folder for the store."""
    backbone = load_backbone("minilm", device="cpu", dtype="float32")
    store = make_store(folder, backbone.fingerprint, num_tasks=64, length=16)
    settings = Settings(
        store_folder=folder,
        device="cpu",
        dtype="float32",
        linear_kernel="torch",
        ray_engine_replicas=2,
        ray_engine_cpus=1.0,
    )
    with _cluster(settings):
        headers = {"Authorization": f"Bearer {store.key}"}
        url = f"http://127.0.0.1:{_PORT}"
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            for task in store.tasks:
                body = {"model": f"{store.tenant}/{task}", "input": _TEXT}
                client.post("/v1/classify", json=body).raise_for_status()
            yield "milliseconds", _times(client, store, num)
            for name, choose in (
                ("shares of 64 tasks", lambda number: number % 64),
                (
                    "shares with a task of half of the traffic",
                    lambda number: number % 2 * number % 64,
                ),
            ):
                yield name, _shares(client, store, seconds, choose)
            for name, event in (
                ("a replica of the engine is killed", _kill_a_replica),
                ("all replicas of the engine are replaced", partial(_redeploy, settings)),
            ):
                yield name, _under_load(client, store, event)


def main() -> None:
    """Measure, and print each figure as JSON when it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, figures in measure(Path(folder), arguments.requests, arguments.seconds):
            print(json.dumps({name: figures}), flush=True)


if __name__ == "__main__":
    main()
