"""The two layers around every request: one that observes it, one that bounds its body."""

import logging
import re
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.middleware.bodies import BodyBounds, BodyBudgets, IncomingBody, too_large
from server.api.problem_responses import response_to
from server.api.problems import problem_of
from server.api.statuses import CLIENT_CLOSED_REQUEST
from server.observe import RequestMetrics, RequestRecord
from server.settings import Settings
from server.shutdown import Stopping

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEY: Final = re.compile(r"pp_[0-9a-f]{12}_")
_UPLOAD_PATH: Final = re.compile(r"/v1/tenants/[^/]+/prefixes/[^/]+/versions/?")
_TRAINING_PATH: Final = re.compile(r"/v1/tenants/[^/]+/trainings/?")
_FORM_BYTES: Final = 64 * 1024
"""Room for what a multipart body holds beside its file: boundaries, part headers, the alias."""
_UPLOAD_SECONDS: Final = 600.0


class RequestLog:
    """Counts and logs every request, names it in `X-Request-Id`, and answers what nobody caught.

    The outermost layer, so that no response, not even that of a bug, goes out unobserved.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(_request_id(scope), scope["method"])
        scope.setdefault("state", {})["record"] = record
        status = CLIENT_CLOSED_REQUEST
        is_started = False

        async def send_observed(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                is_started = True
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = record.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        except Exception as error:  # noqa: BLE001 - the top of a request: all errors get an answer
            _log.exception("request %s failed unexpectedly", record.request_id)
            if not is_started:
                response = response_to(problem_of(error), scope)
                await response(scope, receive, send_observed)
        finally:
            record.route = getattr(scope.get("route"), "path_format", record.route)
            self._metrics.request_done(record.route, status, record.seconds)
            record.write(status)


class BodyLimit:
    """Bounds each request's body: its size, its speed, and the memory it may hold.

    A body that announces too many bytes is refused at once, others as they arrive. The route that
    learns who is calling says so to the `IncomingBody` in the request's state.
    """

    def __init__(self, app: ASGIApp, settings: Settings, stopping: Stopping) -> None:
        self._app = app
        self._stopping = stopping
        self._budgets = BodyBudgets.for_bodies_of(settings.max_body_kib * 2**10)
        self._bounds = BodyBounds(
            settings.max_body_kib * 2**10,
            settings.request_timeout_seconds,
            settings.body_stall_seconds,
            is_held=True,
        )
        self._upload_bounds = {
            path: BodyBounds(
                mib * 2**20 + _FORM_BYTES,
                _UPLOAD_SECONDS,
                settings.body_stall_seconds,
                is_held=False,
            )
            for path, mib in (
                (_UPLOAD_PATH, settings.max_upload_mib),
                (_TRAINING_PATH, settings.max_training_file_mib),
            )
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        bounds = self._bounds_of(scope)
        try:
            _check_announced(scope, bounds.max_bytes)
            incoming = IncomingBody(scope, receive, bounds, self._budgets, self._stopping)
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


def _request_id(scope: Scope) -> str:
    """Take the sender's id where it is harmless in a log, else make one.

    A key has the form of an id, and some clients put it into the wrong header.
    """
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(given) or _KEY.search(given):
        return uuid.uuid4().hex
    is_secret = given == headers.get("authorization", "").rpartition(" ")[2]
    return uuid.uuid4().hex if is_secret else given
