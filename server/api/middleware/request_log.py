"""RequestLog: the middleware that counts and logs every request."""

import logging
import re
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.problem_responses import response_to
from server.api.problems import problem_of
from server.api.statuses import CLIENT_CLOSED_REQUEST
from server.observability.logs import RequestRecord
from server.observability.metrics import RequestMetrics
from server.observability.tracing import Tracing

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEY: Final = re.compile(r"pp_[0-9a-f]{12}_")


class RequestLog:
    """Counts, logs and traces every request, sets `X-Request-Id`, and answers unexpected errors.

    It wraps all middleware that can fail, so that every response is counted, also that of a bug.
    """

    def __init__(
        self, app: ASGIApp, metrics: RequestMetrics, tracing: Tracing | None = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(_request_id(scope), scope["method"])
        if self._tracing is not None:
            headers = Headers(scope=scope)
            record.trace = self._tracing.begin(record.method, scope["path"], headers)
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
        except Exception as error:  # noqa: BLE001 - every error gets a response
            _log.exception("request %s failed unexpectedly", record.request_id)
            if not is_started:
                response = response_to(problem_of(error), scope)
                await response(scope, receive, send_observed)
        finally:
            record.route = getattr(scope.get("route"), "path_format", record.route)
            self._metrics.request_done(record.route, status, record.seconds, record.tenant)
            record.write(status)
            if record.trace is not None:
                record.trace.end(record, status)


def _request_id(scope: Scope) -> str:
    """Return the id that the client sent if it is safe to log, else a new one.

    An API key is a well-formed id, and some clients send it in the wrong header.
    """
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(given) or _KEY.search(given):
        return uuid.uuid4().hex
    is_secret = given == headers.get("authorization", "").rpartition(" ")[2]
    return uuid.uuid4().hex if is_secret else given
