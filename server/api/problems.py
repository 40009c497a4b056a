"""Every error response of the server: one table, one shape (RFC 9457), readable by all dialects.

The body is `application/problem+json` with `type`, `title`, `status`, `detail`, `code`, and where
they apply `errors` (fields of the request), `findings` (defects of an uploaded file) and
`retry_after` (seconds, also a header). Routes that speak another server's dialect add that
server's members to the same object: RFC 9457 calls them extension members.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from prefixes import errors as prefix_errors
from prefixes.disk import is_full
from prefixes.errors import (
    PrefixError,
    PrefixNotFound,
    PrefixRejected,
    StoreFull,
    StoreUnavailable,
)
from server import errors as server_errors
from server.api.schemas import ProblemBody
from server.api.validation import field_errors
from server.auth import Caller
from server.errors import KeyRequired, Overloaded, RequestRefused, ServingError
from server.observe import RequestRecord

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
CLIENT_GONE: Final = 499
"""Status in logs and metrics of a request whose sender left; nobody sees the response."""

STATUS: Final[dict[type[Exception], tuple[int, str]]] = {
    prefix_errors.InvalidName: (422, "Not a well-formed name"),
    prefix_errors.PrefixNotFound: (404, "No such prefix"),
    prefix_errors.PrefixRejected: (422, "The prefix was refused"),
    prefix_errors.TenantNotFound: (404, "No such tenant"),
    prefix_errors.KeyNotFound: (404, "No such API key"),
    prefix_errors.VersionInUse: (409, "The version is in use"),
    prefix_errors.NothingToRollBack: (409, "Nothing to roll back to"),
    prefix_errors.InputRejected: (422, "The input does not fit the task"),
    prefix_errors.TextTooLong: (422, "The text is too long"),
    prefix_errors.BackboneUnavailable: (503, "The backbone is not available"),
    prefix_errors.StoreUnavailable: (503, "The store is not available"),
    prefix_errors.StoreCorrupted: (500, "Stored bytes are damaged"),
    server_errors.Overloaded: (429, "Too many requests are waiting"),
    server_errors.DeadlineExceeded: (504, "The time ran out"),
    server_errors.EngineUnavailable: (503, "The server takes no requests now"),
    server_errors.InferenceFailed: (500, "The forward pass failed"),
    server_errors.KeyRequired: (401, "An API key is required"),
    server_errors.InvalidKey: (401, "The API key is not valid"),
    server_errors.ModelRequired: (422, "No model was named"),
    server_errors.WrongTaskType: (422, "Another route answers this task"),
    server_errors.TooManyInputs: (413, "Too many inputs"),
    server_errors.TooManyScores: (422, "Too many scores"),
    server_errors.BadUpload: (422, "The upload cannot be understood"),
    server_errors.TrainingNotFound: (404, "No such training"),
    server_errors.NothingToShow: (404, "Nothing to show yet"),
}
"""The one table from an error's class, or its nearest base, to status and title."""

_RETRY_SECONDS: Final = 5
_HTTP_CODES: Final = {
    400: "malformed_request",
    404: "route_not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
    415: "unsupported_encoding",
    416: "range_not_satisfiable",
    429: "overloaded",
    503: "engine_unavailable",
}
_HUB_ROUTES: Final = re.compile(r"/|/predict|/embed|/info|/models/.*", re.DOTALL)
_OPENAI_ROUTES: Final = re.compile(r"/classify|/v1/embeddings|/v1/models(/.*)?", re.DOTALL)
_TEI_TYPES: Final = {
    401: "Validation",
    429: "Overloaded",
    500: "Backend",
    503: "Unhealthy",
    504: "Overloaded",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error as the client sees it."""

    status: int
    title: str
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    findings: Sequence[Mapping[str, str]] = ()
    retry_after: int | None = None
    headers: Mapping[str, str] | None = None

    def response(self, scope: Scope) -> Response:
        """Render for the route that was called, and note the code for the log line."""
        record: RequestRecord | None = scope.get("state", {}).get("record")
        if record is not None:
            record.code = self.code
        headers = dict(self.headers or {})
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="polyprefix"'
        body = {**self._members(), **self._dialect(scope["path"])}
        # ASCII only: a refused name may hold half a surrogate pair, which UTF-8 cannot.
        return Response(json.dumps(body), self.status, headers, MEDIA_TYPE)

    def _members(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "type": f"urn:polyprefix:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        optional = {
            "errors": self.errors,
            "findings": self.findings,
            "retry_after": self.retry_after,
        }
        return members | {name: value for name, value in optional.items() if value}

    def _dialect(self, path: str) -> dict[str, Any]:
        if _HUB_ROUTES.fullmatch(path):
            return {
                "error": self.detail,
                "error_type": _TEI_TYPES.get(self.status, "Validation"),
            }
        if _OPENAI_ROUTES.fullmatch(path):
            kind = "server_error" if self.status >= 500 else "invalid_request_error"
            param = self.errors[0]["field"] if self.errors else None
            error = {"message": self.detail, "type": kind, "param": param, "code": self.code}
            return {"error": error}
        return {}


def problem_of(error: Exception, caller: Caller | None = None) -> Problem:
    """Describe an error to the client.

    An anonymous caller learns only that a key is needed: whether the prefix exists reads the
    same. Of an unexpected error nothing is told but that it happened.
    """
    match error:
        case PrefixNotFound() if caller is not None and caller.tenant is None:
            detail = "No public prefix of this name: send a key that may use it, or check the name"
            return problem_of(KeyRequired(detail))
        case PrefixError() | ServingError() | RequestRefused():
            return _known(error)
        case RequestValidationError():
            return _validation(error)
        case HTTPException():
            return _http(error)
        case OSError() if is_full(error):
            return _known(StoreFull(str(error)))
        case _:
            title = HTTPStatus.INTERNAL_SERVER_ERROR.phrase
            detail = "The server failed on this request; its log has the reason"
            return Problem(500, title, "internal_error", detail)


def not_ready(reasons: Sequence[str]) -> Problem:
    """The answer of a server that takes no requests now."""
    title = "The server is not ready"
    return Problem(503, title, "not_ready", "; ".join(reasons), retry_after=_RETRY_SECONDS)


def install(app: FastAPI) -> None:
    """Answer every exception of the app with a problem."""
    for kind in (PrefixError, ServingError, RequestRefused, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error, getattr(request.state, "caller", None))
    if problem.status >= 500 and not isinstance(error, ServingError):
        _log.error("%s: %s", type(error).__name__, error)
    return problem.response(request.scope)


async def _nobody_listens(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _known(error: PrefixError | ServingError | RequestRefused) -> Problem:
    status, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    retry_after = None
    detail = str(error)
    if isinstance(error, StoreUnavailable):  # paths and addresses are for the log alone
        detail = "The server's store failed on this request; its log has the reason"
    if isinstance(error, Overloaded):
        retry_after = error.retry_after_seconds
    elif status == 503:
        retry_after = _RETRY_SECONDS
    findings = error.findings if isinstance(error, PrefixRejected) else ()
    return Problem(
        status,
        title,
        error.code,
        detail,
        findings=[asdict(finding) for finding in findings],
        retry_after=retry_after,
    )


def _validation(error: RequestValidationError) -> Problem:
    errors = field_errors(error)
    first = errors[0]
    detail = f"{first['field']}: {first['message']}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more, see `errors`)"
    return Problem(422, "The request is not well formed", "invalid_request", detail, errors)


def _http(error: HTTPException) -> Problem:
    if isinstance(error.__cause__, RequestValidationError):  # FastAPI makes a 400 of it
        return _validation(error.__cause__)
    phrase = HTTPStatus(error.status_code).phrase
    code = _HTTP_CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
    details = {404: "No such route: see /docs", 405: "This route does not take this method"}
    detail = (
        details.get(error.status_code, error.detail) if error.detail == phrase else error.detail
    )
    if isinstance(error.__cause__, UnicodeDecodeError):  # of FastAPI, which says less
        detail = _not_utf8(error.__cause__)
    return Problem(error.status_code, phrase, code, detail, headers=error.headers)


def _not_utf8(error: UnicodeDecodeError) -> str:
    found = f"byte {error.start} is 0x{error.object[error.start]:02x}"
    return f"The body is not valid UTF-8: {found}. Encode it as UTF-8 and send it again."


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe a route's error responses for the OpenAPI document."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}},
        }
        for status in statuses
    }
