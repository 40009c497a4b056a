"""Sends problems as HTTP responses, and describes those responses in the OpenAPI document.

Routes in another server's dialect add that server's members to the same object: RFC 9457 calls
them extension members.
"""

import json
import logging
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from prefixes.errors import PrefixError
from server import media_types
from server.api.dialects.error_members import error_members
from server.api.problems import problem_of
from server.api.schemas import ProblemBody
from server.api.statuses import CLIENT_CLOSED_REQUEST
from server.errors import RequestRefused, ServingError
from server.observability.logs import RequestRecord
from server.problems import Problem

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

_log = logging.getLogger(__name__)


def response_to(problem: Problem, scope: Scope) -> Response:
    """Render a problem for the route that was called, and note its code and limit for the log."""
    record: RequestRecord | None = scope.get("state", {}).get("record")
    if record is not None:
        record.code, record.limit = problem.code, problem.limit
    headers = dict(problem.headers or {})
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="polyprefix"'
    body = problem.document() | error_members(problem, scope["path"])
    # ASCII only: a rejected name may hold half a surrogate pair, which UTF-8 cannot encode.
    return Response(json.dumps(body), problem.status, headers, media_types.PROBLEM)


def install(app: FastAPI) -> None:
    """Respond to every exception of the application with a problem."""
    for kind in (PrefixError, ServingError, RequestRefused, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _respond)
    app.add_exception_handler(ClientDisconnect, _respond_to_nobody)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe a route's error responses for the OpenAPI document."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {media_types.PROBLEM: {"schema": ProblemBody.model_json_schema()}},
        }
        for status in statuses
    }


async def _respond(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(_methods_of(request))}
    caller = getattr(request.state, "caller", None)
    problem = problem_of(error, caller)
    if problem.status >= 500 and not isinstance(error, ServingError):
        _log.error("%s: %s", type(error).__name__, error)
    if problem.limit is not None and caller is not None:
        events = request.app.state.services.events
        events.quota_reached(problem.limit, error, caller, request.path_params)
    return response_to(problem, request.scope)


def _methods_of(request: Request) -> list[str]:
    """Return the methods of all routes with the path of a request. Starlette names those of one."""
    return [method for method in _METHODS if _is_routed(request, method)]


def _is_routed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def _respond_to_nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)
