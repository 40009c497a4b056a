"""RequestLog: counts, logs and names every request, and answers unexpected errors."""

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

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEY: Final = re.compile(r"pp_[0-9a-f]{12}_")


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
