"""The two layers around every request: one that observes it, one that bounds its body."""

import asyncio
import logging
import re
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.problems import CLIENT_GONE, problem_of
from server.observe import RequestMetrics, RequestRecord

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_UPLOAD_PATH: Final = re.compile(r"/v1/tenants/[^/]+/prefixes/[^/]+/versions/?")
_TRAINING_PATH: Final = re.compile(r"/v1/tenants/[^/]+/trainings/?")
_FORM_BYTES: Final = 64 * 1024
"""Room for what a multipart body holds beside its file: boundaries, part headers, the alias."""
_UPLOAD_SECONDS: Final = 600.0
_MAX_BODIES: Final = 64
"""Bodies of the largest size that may be in memory at once; of smaller ones as many more."""


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
        status = CLIENT_GONE
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
                await problem_of(error).response(scope)(scope, receive, send_observed)
        finally:
            record.route = getattr(scope.get("route"), "path", record.route)
            self._metrics.request_done(record.route, status, record.seconds)
            record.write(status)


class BodyLimit:
    """Refuses bodies that are too large, too slow, or too many at once.

    Too large: by their announced length at once, else while they come. Too many: a body stays in
    memory until its request is answered, so all of them together have a limit too. Uploads of
    prefixes go to disk as they come, and have limits of their own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_upload_bytes: int,
        max_training_bytes: int,
        body_seconds: float,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = {
            _UPLOAD_PATH: max_upload_bytes,
            _TRAINING_PATH: max_training_bytes,
        }
        self._body_seconds = body_seconds
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload_bytes = self._upload_bytes(scope)
        is_upload = upload_bytes is not None
        limit = self._max_body_bytes if upload_bytes is None else upload_bytes + _FORM_BYTES
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            response = problem_of(_too_large(limit)).response(scope)
            await response(scope, receive, send)
            return
        seconds = _UPLOAD_SECONDS if is_upload else self._body_seconds
        deadline: float | None = asyncio.get_running_loop().time() + seconds
        num_bytes = 0

        async def receive_bounded() -> Message:
            nonlocal num_bytes, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(seconds) from None
            if not message.get("more_body", False):
                deadline = None  # what is received from now on is only the end of the connection
            num_new = len(message.get("body", b""))
            num_bytes += num_new
            if num_bytes > limit:
                raise _too_large(limit)
            if not is_upload:
                self._held_bytes += num_new
                if self._held_bytes > _MAX_BODIES * self._max_body_bytes:
                    raise _too_many()
            return message

        try:
            await self._app(scope, receive_bounded, send)
        finally:
            if not is_upload:
                self._held_bytes -= num_bytes

    def _upload_bytes(self, scope: Scope) -> int | None:
        """Give the most bytes of an upload's files; None for other requests."""
        if scope["method"] != "POST":
            return None
        matching = (
            most for path, most in self._max_upload_bytes.items() if path.fullmatch(scope["path"])
        )
        return next(matching, None)


def _too_large(limit: int) -> HTTPException:
    # FastAPI passes this class on while it reads a body, and turns every other into a 400.
    return HTTPException(413, f"The body has more than the {limit} bytes that this route takes")


def _too_slow(seconds: float) -> HTTPException:
    detail = f"The body did not arrive within {seconds:g} seconds"
    return HTTPException(408, detail, {"Connection": "close"})


def _too_many() -> HTTPException:
    detail = "Too many large requests are in flight: come back later, or send less at once"
    return HTTPException(429, detail, {"Retry-After": "1", "Connection": "close"})


def _request_id(scope: Scope) -> str:
    """Take the sender's id where it is harmless in a log, else make one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
