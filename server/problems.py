"""Problem: one error as a client sees it, in the shape of RFC 9457.

Everything that reports an error builds a `Problem`: routes, the HTTP protocol, training jobs.
`server/api/problems.py` turns exceptions into problems.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

RETRY_SECONDS: Final = 5
"""Wait that clients are asked for when the server cannot estimate one."""

_TYPE: Final = "urn:polyprefix:problem:{code}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error.

    `code` is stable and machine-readable. `errors` are fields of the request, `findings` are
    defects of an uploaded file, `limit` is the name of an exceeded limit, `retry_after` is in
    seconds. `headers` are sent with the response and are not part of the document.
    """

    status: int
    title: str
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    findings: Sequence[Mapping[str, str]] = ()
    limit: str | None = None
    retry_after: int | None = None
    headers: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """Return the members of the JSON object; optional members only where they have a value."""
        document: dict[str, Any] = {
            "type": _TYPE.format(code=self.code),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        if self.findings:
            document["findings"] = [dict(finding) for finding in self.findings]
        if self.limit is not None:
            document["limit"] = self.limit
        if self.retry_after is not None:
            document["retry_after"] = self.retry_after
        return document
