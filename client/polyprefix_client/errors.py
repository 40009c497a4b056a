"""Errors of the client. Each error of the server is an `ApiError` of a class for its status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from polyprefix_client.batches import Batch
    from polyprefix_client.trainings import Training


class PolyprefixError(Exception):
    """The base of all errors of this package."""


class InvalidName(PolyprefixError, ValueError):
    """A name of a prefix, version or alias is not well formed."""


class InvalidUrl(PolyprefixError, ValueError):
    """The URL of the server is not a URL of HTTP."""


class InvalidLogin(PolyprefixError):
    """The login file cannot be read."""


class InvalidRows(PolyprefixError, ValueError):
    """A file of inputs cannot be read."""


class ConnectionFailed(PolyprefixError):
    """The server cannot be reached, or the connection broke before its response was complete."""


class DeadlineExceeded(PolyprefixError):
    """The call took longer than its `timeout`, retries included."""


class InvalidResponse(PolyprefixError):
    """The response is not one of a polyprefix server, such as a page of a proxy."""


class TrainingFailed(PolyprefixError):
    """A training failed or was canceled. `training` has its state and its error."""

    def __init__(self, training: "Training") -> None:
        reason = training.error.detail if training.error else f"Its state is {training.state}."
        super().__init__(f"The training {training.id} of {training.task} failed: {reason}")
        self.training = training


class BatchFailed(PolyprefixError):
    """A batch failed or was canceled as a whole. `batch` has its state and its error."""

    def __init__(self, batch: "Batch") -> None:
        reason = batch.error.detail if batch.error else f"Its state is {batch.state}."
        super().__init__(f"The batch {batch.id} failed: {reason}")
        self.batch = batch


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field of a request."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of an uploaded file, or one warning about it."""

    code: str
    subject: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.subject}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as in RFC 9457, as the server describes it."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = field(default=())
    findings: tuple[Finding, ...] = field(default=())
    limit: str | None = None
    retry_after: float | None = None

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> "Problem":
        """Read a problem document. Members that are missing get empty values."""
        return cls(
            status=int(members.get("status", 0)),
            code=str(members.get("code", "")),
            title=str(members.get("title", "")),
            detail=str(members.get("detail", "")),
            errors=tuple(
                FieldError(str(one.get("field", "")), str(one.get("message", "")))
                for one in members.get("errors") or ()
            ),
            findings=tuple(map(finding_of, members.get("findings") or ())),
            limit=members.get("limit"),
            retry_after=members.get("retry_after"),
        )


class ApiError(PolyprefixError):
    """An error response of the server."""

    def __init__(self, problem: Problem, *, request_id: str = "") -> None:
        self.problem = problem
        self.request_id = request_id
        lines = [f"{problem.title}: {problem.detail}" if problem.detail else problem.title]
        lines += [f"  {finding}" for finding in problem.findings]
        super().__init__("\n".join(lines))

    @property
    def status(self) -> int:
        """The status of the response."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable name of the error, such as `prefix_not_found`."""
        return self.problem.code

    @property
    def detail(self) -> str:
        """The text of the error, for people."""
        return self.problem.detail

    @property
    def field(self) -> str | None:
        """The first invalid field of the request, if the server names one."""
        return self.problem.errors[0].field if self.problem.errors else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All problems of an uploaded file."""
        return self.problem.findings

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait before a retry."""
        return self.problem.retry_after


class InvalidRequest(ApiError):
    """400, 405, 408, 415, 416 or 422: the request is invalid."""


class PrefixRejected(InvalidRequest):
    """422 `prefix_rejected`: the file is invalid. `findings` has each problem."""


class AuthenticationFailed(ApiError):
    """401: the key is missing, wrong, revoked or expired."""


class PermissionDenied(ApiError):
    """403: the role of the key is too low, its tenant is suspended, or a quota is exceeded."""


class NotFound(ApiError):
    """404: it does not exist, or the key may not see it."""


class Conflict(ApiError):
    """409: the state of the resource does not allow the change."""


class PreconditionFailed(ApiError):
    """412: the resource is not in the state that the call expects."""


class TooLarge(ApiError):
    """413: the body is too large, or it has too many inputs."""


class RateLimited(ApiError):
    """429: a limit is reached, or the server is busy."""


class ServerFailed(ApiError):
    """5xx: the server failed, or cannot serve the request now."""


_CLASSES: Final[Mapping[int, type[ApiError]]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: TooLarge,
    429: RateLimited,
}


def api_error(problem: Problem, *, request_id: str = "") -> ApiError:
    """Return the error of the class that fits the status and the code."""
    kind = _CLASSES.get(problem.status, ServerFailed if problem.status >= 500 else InvalidRequest)
    if problem.code == "prefix_rejected":
        kind = PrefixRejected
    return kind(problem, request_id=request_id)


def finding_of(members: Mapping[str, Any]) -> Finding:
    """Read a finding."""
    names = ("code", "subject", "expected", "found")
    return Finding(*(str(members.get(name, "")) for name in names))
