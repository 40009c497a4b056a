"""A server on a real socket for tests, a fake engine that a test controls, and small helpers."""

import asyncio
import functools
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from prefixes import BackboneFingerprint, Finding, InputTemplate, Prefix
from prefixes.answers import NO_RULES, RuleOptions
from prefixes.backbone import Backbone
from prefixes.encoded import EncodedText
from prefixes.lengths import LengthOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.registry import Actor, ApiKeys, PrefixRegistry, open_database, open_registry
from prefixes.spec import TaskType
from server.api.services import InferenceEngine
from server.app import create_app
from server.batching.timings import Timings
from server.engine.canaries.counts import CanaryCounts
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from server.engine.values import InferenceResponse, InferenceResult, Recording, TaskInput
from server.errors import EngineUnavailable, WrongTaskType
from server.hosting.bounded_http import BoundedHttp
from server.hosting.gauges import add_gauges
from server.hosting.lifespan import lifespan
from server.limits.allowance import Allowance
from server.limits.limiter import RequestLimiter
from server.observability.metrics import Metrics
from server.observability.tracing import Tracing
from server.rates import RateState
from server.residency.residents import ResidentStats
from server.settings import Settings
from tests.factories import make_prefix

PAIR = InputTemplate(text="{text_a}", text_pair="{text_b}")

TYPED: Final[dict[str, TaskType]] = {
    "things": "token_classification",
    "facts": "question_answering",
    "causes": "multiple_choice",
    "vectors": "embedding",
}
"""Public tasks of the other types, by name."""


class FakeEngine:
    """Resolves and answers like the engine, without a device: a test makes it hold, fail or drain.

    Logits rise with the label's number, so the last label always wins.
    """

    def __init__(self, registry: PrefixRegistry) -> None:
        self.problem: str | None = None
        self.device_failure: str | None = None
        self.failure: Exception | None = None
        self.findings: tuple[Finding, ...] = ()
        self.num_waiting = 0
        self.max_batch_tokens = 4096
        self.num_calls = 0
        self.num_cancelled = 0
        self.timeouts: list[float] = []
        self.is_held = False
        self._registry = registry
        self._limiter = RequestLimiter()
        self._gate = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def resident_stats(self) -> ResidentStats:
        return ResidentStats(3, 1000, 5000)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        yield
        self.problem = "stopped"

    async def find_problem(self) -> str | None:
        return self.problem

    async def find_failure(self) -> str | None:
        return self.device_failure

    def hold(self) -> None:
        """Keep every answer back until `release`."""
        self.is_held = True

    def release(self) -> None:
        """Let all held answers go; called from the test's thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gate.set)

    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        lengths: LengthOptions,
        timeout_seconds: float,
        task_type: TaskType | None = None,
        allowance: Allowance,
        routing_key: str | None = None,
        recording: Recording | None = None,
        explain: OcclusionOptions | None = None,
        rules: RuleOptions = NO_RULES,
        is_background: bool = False,
    ) -> InferenceResponse:
        self.num_calls += 1
        self.timeouts.append(timeout_seconds)
        if self.problem is not None:
            raise EngineUnavailable(f"The server takes no requests now: {self.problem}")
        if self.failure is not None:
            raise self.failure
        targets = self._registry.resolve({item.ref for item in inputs}, reader=reader)
        versions = {ref: target.version_for(routing_key) for ref, target in targets.items()}
        self.num_waiting += len(inputs)
        try:
            if self.is_held:
                await self._gate.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_waiting -= len(inputs)
        found = [versions[item.ref] for item in inputs]
        specs = [self._registry.spec(version.digest) for version in found]
        for place, spec in enumerate(specs):
            if task_type not in {None, spec.task_type}:
                raise WrongTaskType("not this type", place=place, task_type=spec.task_type)
        rules.check(specs)
        results = [
            InferenceResult(
                version.ref,
                version.digest,
                spec,
                item.fields,
                texts=(EncodedText([1] * 4, [0] * 4),),
                outputs=(np.arange(spec.num_labels, dtype=np.float32),),
                timings=Timings(0.001, 0.002),
                rules=targets[item.ref].rules_for(version),
            )
            for item, version, spec in zip(inputs, found, specs, strict=True)
        ]
        return InferenceResponse(results)

    async def admit_management(self, allowance: Allowance) -> tuple[RateState, ...]:
        return self._limiter.admit_management(allowance)

    async def write_answers(self) -> None:
        pass

    async def canary_counts(self, tenant: str, task: str, alias: str) -> CanaryCounts:
        return CanaryCounts()

    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]:
        return self.findings


@dataclass
class Rest:
    """A running server and all that a test needs to talk to it."""

    url: str
    registry: PrefixRegistry
    folder: Path
    keys: dict[str, str]
    app: FastAPI

    def client(self, tenant: str | None = None) -> httpx.Client:
        headers = {} if tenant is None else {"Authorization": f"Bearer {self.keys[tenant]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def call(self, method: str, path: str, tenant: str | None = None, **how: Any) -> httpx.Response:
        with self.client(tenant) as client:
            return client.request(method, path, **how)

    def upload(
        self, ref: str, data: bytes, *, by: str | None, alias: str | None = None
    ) -> httpx.Response:
        tenant, task = ref.split("/")
        return self.call(
            "POST",
            f"/v1/tenants/{tenant}/prefixes/{task}/versions",
            by,
            files={"file": ("task.safetensors", data)},
            data={} if alias is None else {"alias": alias},
        )

    def files(self) -> set[Path]:
        """All files of the store, the database's own left out."""
        return {
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not path.name.startswith("registry.db")
        }


def until(holds: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until a condition holds; fail after this many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} seconds"
        time.sleep(0.005)


def new_registry(
    folder: Path, database_url: str | None = None
) -> tuple[PrefixRegistry, dict[str, str]]:
    """A registry with two private tenants and an operator that have keys, and `examples`."""
    folder.mkdir(parents=True, exist_ok=True)
    if database_url is None and not any(folder.iterdir()):
        (folder / "registry.db").write_bytes(_empty_database())
    registry = open_registry(folder, database_url=database_url)
    keys = ApiKeys(registry.database)
    for tenant in ("acme", "zoo"):
        registry.ensure_tenant(tenant)
    registry.ensure_tenant("examples", is_public=True)
    issued = {tenant: keys.issue(tenant, "test").key for tenant in ("acme", "zoo")}
    return registry, issued | {"operator": keys.issue(None, "test", role="operator").key}


@functools.cache
def _empty_database() -> bytes:
    """The SQLite file that all migrations give, so that they run once and not for each test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "registry.db"
        open_database(f"sqlite:///{file}").close()
        return file.read_bytes()


def put(registry: PrefixRegistry, ref: str, prefix: Prefix) -> None:
    """Publish a prefix without the server."""
    tenant, task = ref.split("/")
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        registry.publish(tenant, task, staged, prefix, alias="live", by=Actor("test"))


def put_some(registry: PrefixRegistry, backbone: BackboneFingerprint) -> None:
    """Publish one prefix of each kind."""
    put(registry, "acme/mood", make_prefix(backbone, seed=1))
    put(registry, "acme/pair", make_prefix(backbone, seed=2, input=PAIR, labels=("no", "yes")))
    put(registry, "zoo/secret", make_prefix(backbone, seed=3))
    put(registry, "examples/mood", make_prefix(backbone, seed=4, max_length=16))
    put(
        registry,
        "examples/topics",
        make_prefix(
            backbone,
            seed=5,
            prefix_length=8,
            problem_type="multi_label_classification",
            labels=("art", "sport", "trade", "war"),
        ),
    )
    put(
        registry,
        "examples/rating",
        make_prefix(backbone, seed=6, problem_type="regression", labels=("stars",)),
    )
    for seed, (task, kind) in enumerate(TYPED.items(), start=7):
        prefix = make_prefix(backbone, seed=seed, task_type=kind, max_length=16)
        put(registry, f"examples/{task}", prefix)


@contextmanager
def on_a_port(app: Any, **choices: Any) -> Iterator[str]:
    """Serve an app on a free port of the loopback; gives its URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=2,
            **{"http": BoundedHttp, **choices},
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def serving(
    folder: Path,
    backbone: Backbone,
    engine: FakeEngine | None = None,
    tracer: Tracing | None = None,
    **choices: Any,
) -> Iterator[Rest]:
    """Serve the prefixes of `put_some` with the real engine or a fake one."""
    if engine is None:
        registry, keys = new_registry(folder, choices.get("database_url"))
        put_some(registry, backbone.fingerprint)
    else:
        registry, keys = engine._registry, {}
    # Tests send more requests with one key than the default allows.
    rate = {"management_requests_per_second_per_tenant": 1e9}
    settings = Settings(store_folder=folder, **{**rate, **choices})
    registry.database.follow_changes(outage_seconds=settings.database_outage_seconds)
    metrics = Metrics(max_tenants=settings.max_tenant_series, max_tasks=settings.max_task_series)
    limits = EngineLimits(resident_bytes=2**20, max_texts=settings.max_inputs_per_request)
    used: InferenceEngine
    if engine is None:
        used = real = Engine(backbone, registry, limits, metrics)
        add_gauges(real, registry, metrics)
        while_served = lifespan(real, registry, settings)
    else:
        used, while_served = engine, engine.running()
    app = create_app(
        settings,
        backbones=[backbone.fingerprint],
        engine=used,
        registry=registry,
        metrics=metrics,
        while_served=while_served,
        tracing=tracer,
    )
    with on_a_port(app) as url:
        yield Rest(url, registry, folder, keys, app)
    registry.close()
