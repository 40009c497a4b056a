"""BodyLimit: the middleware that limits request bodies."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.middleware.bodies import (
    FORM_BYTES,
    BodyBounds,
    BodyBudgets,
    IncomingBody,
    too_large,
)
from server.api.problem_responses import response_to
from server.api.problems import problem_of
from server.settings import Settings
from server.shutdown import Shutdown

_UPLOAD_PATH: Final = re.compile(r"/v1/tenants/[^/]+/prefixes/[^/]+/versions/?")
_TRAINING_PATH: Final = re.compile(r"/v1/tenants/[^/]+/trainings/?")
_BATCH_PATH: Final = re.compile(r"/v1/batches/?")
_UPLOAD_SECONDS: Final = 600.0


class BodyLimit:
    """Limits the body of each request: its size, its speed, and its memory.

    A body whose `Content-Length` is too large is rejected at once, others as they arrive. The route
    that authenticates the caller sets the name in the `IncomingBody` in the request's state.
    """

    def __init__(self, app: ASGIApp, settings: Settings, shutdown: Shutdown) -> None:
        self._app = app
        self._shutdown = shutdown
        self._budgets = BodyBudgets.for_bodies_of(settings.max_body_kib * 2**10)
        self._bounds = BodyBounds(
            settings.max_body_kib * 2**10,
            settings.request_timeout_seconds,
            settings.body_stall_seconds,
            is_in_memory=True,
        )
        self._upload_bounds = {
            path: BodyBounds(
                mib * 2**20 + FORM_BYTES,
                _UPLOAD_SECONDS,
                settings.body_stall_seconds,
                is_in_memory=False,
            )
            for path, mib in (
                (_UPLOAD_PATH, settings.max_upload_mib),
                (_TRAINING_PATH, settings.max_training_file_mib),
                (_BATCH_PATH, settings.max_batch_file_mib),
            )
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bounds = self._bounds_of(scope)
        try:
            _check_announced(scope, bounds.max_bytes)
            incoming = IncomingBody(scope, receive, bounds, self._budgets, self._shutdown)
        except HTTPException as error:
            await response_to(problem_of(error), scope)(scope, receive, send)
            return
        with incoming:
            scope["state"]["body"] = incoming
            await self._app(scope, incoming.receive, send)

    def _bounds_of(self, scope: Scope) -> BodyBounds:
        if scope["method"] == "POST":
            for path, bounds in self._upload_bounds.items():
                if path.fullmatch(scope["path"]):
                    return bounds
        return self._bounds


def _check_announced(scope: Scope, max_bytes: int) -> None:
    announced = Headers(scope=scope).get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large(max_bytes)
