"""What handlers are given: the server's parts, and who is calling."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from prefixes import BackboneFingerprint, Finding, Prefix
from prefixes.registry import ApiKeys, PrefixRegistry
from prefixes.spec import TaskType
from server.api.auth import Caller, authenticate
from server.api.public_prefixes import PublicPrefixes
from server.api.surrogates import UnicodeRequest
from server.api.uploads import UploadSlots
from server.engine.values import InferenceResult, TaskInput
from server.errors import KeyRequired
from server.observability.logs import RequestRecord
from server.observability.metrics import RequestMetrics
from server.publishing import Publisher
from server.settings import Settings
from server.shutdown import Shutdown
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.records import Trainer
from server.training_jobs.store import TrainingStore

T = TypeVar("T")

_TENANT_PATH: Final = "/v1/tenants/{tenant}/"
_READING: Final = frozenset({"GET", "HEAD"})


class Classifier(Protocol):
    """What the wire needs of the engine; see `server.engine.engine.Engine` for the promises."""

    async def find_problem(self) -> str | None: ...
    async def infer(
        self,
        inputs: Sequence[TaskInput],
        *,
        reader: str | None,
        truncate: bool,
        timeout_seconds: float,
        task_type: TaskType | None,
    ) -> list[InferenceResult]: ...
    async def replay(self, prefix: Prefix, digest: str) -> tuple[Finding, ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What one server is made of; built by the composition root, shared by all its requests."""

    settings: Settings
    backbone: BackboneFingerprint
    engine: Classifier
    publisher: Publisher
    registry: PrefixRegistry
    keys: ApiKeys
    metrics: RequestMetrics
    trainer: Trainer
    trainings: TrainingStore
    training_folders: TrainingFolders
    public: PublicPrefixes
    shutdown: Shutdown
    uploads: UploadSlots = field(default_factory=UploadSlots)
    # Threads of their own: lists of thousands, and changes that wait for each other, must not take
    # those by which every request's key is checked.
    _readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(8))
    _changers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))
    _turners: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))

    async def read(self, call: Callable[[], T]) -> T:
        """Ask the registry or the store for something, on a thread."""
        return await to_thread.run_sync(call, limiter=self._readers)

    async def change(self, call: Callable[[], T]) -> T:
        """Change something in the registry, on a thread."""
        return await to_thread.run_sync(call, limiter=self._changers)

    async def turn(self, call: Callable[[], T]) -> T:
        """Turn large outputs into what is sent, on a thread."""
        return await to_thread.run_sync(call, limiter=self._turners)


class KeyedRoute(APIRoute):
    """A route that knows its caller before it reads a byte of the body.

    It refuses callers without a key where that alone says that there is nothing for them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler, which reads and parses the body."""
        handle = self.get_keyed_handler()
        is_of_a_tenant = self.path.startswith(_TENANT_PATH)

        async def handle_with_caller(request: Request) -> Response:
            header = request.headers.get("authorization")
            state, parts = request.state, request.app.state.parts
            caller = await authenticate(header, parts.keys)
            state.caller = caller
            state.record.tenant = state.body.tenant = caller.tenant
            if caller.tenant is None and request.method not in _READING:
                await _check_stranger(parts, is_of_a_tenant=is_of_a_tenant)
            return await handle(UnicodeRequest(request.scope, request.receive))

        return handle_with_caller

    def get_keyed_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give what handles a request whose caller is known: FastAPI's own handler."""
        return super().get_route_handler()


async def _check_stranger(parts: Parts, *, is_of_a_tenant: bool) -> None:
    """Raise KeyRequired when no body of a caller without a key can be answered here."""
    if is_of_a_tenant:
        raise KeyRequired("This changes what a tenant owns: send a key of the tenant")
    if not await parts.public.exist():
        raise KeyRequired("This server has no public prefix: send a key")


async def _parts(request: Request) -> Parts:
    # A coroutine, like its neighbours: FastAPI would send a plain function through a thread.
    parts: Parts = request.app.state.parts
    return parts


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def _record(request: Request) -> RequestRecord:
    record: RequestRecord = request.state.record
    return record


PartsDep = Annotated[Parts, Depends(_parts)]
CallerDep = Annotated[Caller, Depends(_caller)]
RecordDep = Annotated[RequestRecord, Depends(_record)]

bearer = HTTPBearer(auto_error=False, description="An API key, `pp_...`; see `polyprefix key`.")
"""Describes the key in the OpenAPI document; `KeyedRoute` is what checks it."""
