"""Turns exceptions into problems: what a client may learn of each error."""

from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from prefixes.disk import is_full
from prefixes.errors import (
    DatabaseUnreachable,
    PrefixError,
    PrefixNotFound,
    PrefixRejected,
    QuotaExceeded,
    StoreFull,
    StoreUnavailable,
)
from server.api.auth import Caller
from server.api.rate_headers import rate_headers
from server.api.statuses import HTTP_CODES, status_and_title
from server.api.validation import field_errors
from server.errors import KeyRequired, LimitExceeded, Overloaded, RequestRefused, ServingError
from server.problems import RETRY_SECONDS, Problem

_HTTP_DETAILS: Final = {
    404: "This path is not a route of this server. See /docs for the routes.",
    405: "This route does not accept this method. See /docs for the methods of each route.",
}
"""Details that replace Starlette's phrases."""


def problem_of(error: Exception, caller: Caller | None = None) -> Problem:
    """Describe an error to the client.

    A caller without a key cannot learn whether a prefix exists: the response says only that a key
    is required. An unexpected error shows nothing of itself.
    """
    match error:
        case PrefixNotFound() if caller is not None and caller.identity is None:
            detail = (
                "There is no public prefix with this name. Check the name, or send a key of a "
                "tenant that may use it."
            )
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
            detail = "The server failed on this request. Its log has the reason."
            return Problem(500, title, "internal_error", detail)


def not_ready(reasons: Sequence[str]) -> Problem:
    """Describe a server that does not accept requests now."""
    title = "Server not ready"
    return Problem(503, title, "not_ready", "; ".join(reasons), retry_after=RETRY_SECONDS)


def _known(error: PrefixError | ServingError | RequestRefused) -> Problem:
    status, title = status_and_title(error)
    detail = str(error)
    if isinstance(error, DatabaseUnreachable):
        detail = (
            "The server cannot reach its database, and this request needs it. Retry later. "
            "Inference with keys and models that were used recently goes on."
        )
    elif isinstance(error, StoreUnavailable):  # paths and addresses are for the log alone
        detail = "The server's store failed on this request. Its log has the reason."
    findings = error.findings if isinstance(error, PrefixRejected) else ()
    return Problem(
        status,
        title,
        error.code,
        detail,
        findings=[asdict(finding) for finding in findings],
        limit=error.limit if isinstance(error, LimitExceeded | QuotaExceeded) else None,
        retry_after=_retry_after(error, status),
        headers=rate_headers(error.rates) if isinstance(error, LimitExceeded) else None,
    )


def _retry_after(error: Exception, status: int) -> int | None:
    if isinstance(error, Overloaded | LimitExceeded):
        return error.retry_after_seconds
    return RETRY_SECONDS if status == 503 else None


def _validation(error: RequestValidationError) -> Problem:
    errors = field_errors(error)
    first = errors[0]
    detail = f"{first['field']}: {first['message']}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more, see `errors`)"
    return Problem(422, "Invalid request", "invalid_request", detail, errors)


def _http(error: HTTPException) -> Problem:
    cause = error.__cause__
    if isinstance(cause, RequestValidationError):  # FastAPI turns it into a 400
        return _validation(cause)
    phrase = HTTPStatus(error.status_code).phrase
    code = HTTP_CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
    detail = error.detail
    if detail == phrase:
        detail = _HTTP_DETAILS.get(error.status_code, phrase)
    if isinstance(cause, UnicodeDecodeError):  # FastAPI's own text does not name the byte
        detail = _not_utf8(cause)
    headers = dict(error.headers or {})
    seconds = headers.pop("Retry-After", None)
    return Problem(
        error.status_code,
        phrase,
        code,
        detail,
        retry_after=None if seconds is None else int(seconds),
        headers=headers,
    )


def _not_utf8(error: UnicodeDecodeError) -> str:
    found = f"byte {error.start} is 0x{error.object[error.start]:02x}"
    return f"The body is not valid UTF-8: {found}. Encode it as UTF-8 and send it again."
