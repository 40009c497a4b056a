"""A stand-in for two servers of the soak, of which the second lies. It tests the checker."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prefixes import Prefix
from tests.chaos.publishing import TOKEN


class Lie(Enum):
    """A defect of the second server."""

    NOTHING = "nothing"
    LABEL_OF_ANOTHER_VERSION = "label of another version"
    TENSORS_OF_ANOTHER_VERSION = "tensors of another version"
    OLD_VERSION = "old version"
    LOST_VERSION = "lost version"
    ERROR = "error"


@dataclass(slots=True)
class _Servers:
    """Both servers. `labels` has the label with which each version answers, the first one first."""

    lie: Lie
    labels: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        task = "/{server:int}/v1/tenants/acme/prefixes/numbered"
        return Starlette(routes=[
            Route(task, self._show),
            Route(f"{task}/versions", self._publish, methods=["POST"]),
            Route("/{server:int}/v1/classify", self._classify, methods=["POST"]),
        ])  # fmt: skip

    async def _publish(self, request: Request) -> Response:
        async with request.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            self.labels.append(_label(Prefix.from_bytes(await file.read())))
        token = str(len(self.labels))
        return JSONResponse({"version": len(self.labels)}, 201, headers={TOKEN: token})

    async def _show(self, request: Request) -> Response:
        versions = range(1, len(self.labels) + 1)
        if self._is_lying(request, Lie.LOST_VERSION):
            versions = versions[1:]
        return JSONResponse({"versions": [{"version": one} for one in versions]})

    async def _classify(self, request: Request) -> Response:
        if self._is_lying(request, Lie.ERROR):
            return JSONResponse({"detail": "it broke"}, 500)
        task, _, pinned = str((await request.json())["model"]).partition("@")
        version = int(pinned) if pinned else len(self.labels)
        if not pinned and self._is_lying(request, Lie.OLD_VERSION):
            version -= 1
        label = self.labels[version - 1]
        if self._is_lying(request, Lie.LABEL_OF_ANOTHER_VERSION):
            label = self.labels[version - 2]
        if self._is_lying(request, Lie.TENSORS_OF_ANOTHER_VERSION):
            label = f"{label.partition(':')[0]}:{self.labels[version - 2].partition(':')[2]}"
        return JSONResponse({"results": [{"model": f"acme/{task}@{version}", "label": label}]})

    def _is_lying(self, request: Request, lie: Lie) -> bool:
        return self.lie is lie and request.path_params["server"] == 1 and len(self.labels) > 1


@dataclass(frozen=True, slots=True)
class StandIn:
    """One of the two servers."""

    url: str


@contextmanager
def lying_servers(lie: Lie) -> Iterator[tuple[StandIn, StandIn]]:
    """Serve both on one free port."""
    config = uvicorn.Config(_Servers(lie).app, port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the stand-in did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        first, second = (StandIn(f"http://127.0.0.1:{port}/{number}") for number in range(2))
        yield first, second
    finally:
        server.should_exit = True
        thread.join()


def _label(prefix: Prefix) -> str:
    """Return the label that a numbered prefix always answers with."""
    return str(prefix.spec.labels[int(np.argmax(prefix.tensors["head.output.bias"]))])
