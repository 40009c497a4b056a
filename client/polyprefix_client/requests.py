"""Call: one request as a value, and how responses become values or errors."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx

from polyprefix_client.conversion import from_json
from polyprefix_client.errors import ApiError, InvalidResponse, Problem, api_error
from polyprefix_client.version import __version__

Value = TypeVar("Value")
File = tuple[str, bytes]
"""The name and the content of a file in a form."""

_USER_AGENT: Final = f"polyprefix-client/{__version__} python/{platform.python_version()}"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `is_idempotent`: repeating it has the same effect as sending it once."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    content: Callable[[], Any] | None = None
    """Opens a body that is sent in pieces, anew for each attempt."""
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_idempotent: bool = False
    limits_server: bool = False
    """Whether the server is told how long the client waits, as inference routes accept."""

    def arguments(self, seconds: float) -> dict[str, Any]:
        """Return the arguments of httpx for an attempt of at most so many seconds."""
        headers = dict(self.headers)
        if self.limits_server:
            headers["X-Timeout-Ms"] = str(min(10**9, max(1, round(1000 * seconds))))
        parts: dict[str, Any] = {name: (None, text) for name, text in self.form.items()}
        return {
            "params": {name: one for name, one in self.params.items() if one is not None},
            "headers": headers,
            "timeout": seconds,
            **({} if self.json is None else {"json": self.json}),
            **({} if self.content is None else {"content": self.content()}),
            **({"files": {**parts, **self.files}} if self.files or parts else {}),
        }


def get(path: str, **params: Any) -> Call:
    """Read something."""
    return Call("GET", path, params, is_idempotent=True)


def once() -> dict[str, str]:
    """Return the header that makes a change once, however often its request is repeated."""
    return {"Idempotency-Key": str(uuid4())}


def matching(etag: str | None, *, is_new: bool = False) -> dict[str, str]:
    """Return the precondition of a change, if there is one.

    Args:
        etag: the state that the resource must have.
        is_new: whether the resource must not exist yet.
    """
    if is_new:
        return {"If-None-Match": "*"}
    return {} if etag is None else {"If-Match": f'"{etag}"'}


def default_headers(key: str) -> dict[str, str]:
    """Return the headers of all requests."""
    credentials = {"Authorization": f"Bearer {key}"} if key else {}
    return {"User-Agent": _USER_AGENT, **credentials}


def value_of(response: httpx.Response, kind: type[Value]) -> Value:
    """Read the body of a response as a value of a dataclass. A field `etag` gets the header."""
    members = body_of(response)
    if "etag" in getattr(kind, "__dataclass_fields__", {}) and isinstance(members, dict):
        members = {**members, "etag": response.headers.get("ETag", "").strip('"')}
    return from_json(kind, members)


def body_of(response: httpx.Response) -> Any:
    """Read the body of a response as JSON.

    Raises:
        InvalidResponse: when it is not JSON.
    """
    try:
        return response.json()
    except ValueError as error:
        raise InvalidResponse(
            f"{response.url} answered with a body that is not JSON. Check that the URL is that of "
            "a polyprefix server."
        ) from error


def complete_response(opened: httpx.Response, content: bytes) -> httpx.Response:
    """Return a response with the body that was read and decoded from an open one."""
    decoded = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, one) for name, one in opened.headers.items() if name not in decoded]
    return httpx.Response(
        opened.status_code, headers=headers, content=content, request=opened.request
    )


def request_id_of(response: httpx.Response) -> str:
    """Return the id by which the server's log and feedback name a request."""
    return str(response.headers.get("X-Request-Id", ""))


def retry_after_of(response: httpx.Response) -> float | None:
    """Return the header `Retry-After` in seconds; None if it is missing or a date."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def error_of(response: httpx.Response) -> ApiError:
    """Return the error that a response describes. The body of a proxy becomes an error, too."""
    try:
        members = response.json()
        problem = Problem.from_json({"retry_after": retry_after_of(response), **members})
    except (ValueError, TypeError, AttributeError):
        problem = Problem(0, "", "", "")
    if not problem.code:
        status = response.status_code
        detail = f"{response.url} answered with the status {status}, and without a description."
        problem = Problem(
            status, "", response.reason_phrase, detail, retry_after=retry_after_of(response)
        )
    return api_error(problem, request_id=request_id_of(response))
