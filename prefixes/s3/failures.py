"""Descriptions of failed requests: the cause and the next step, without anything secret.

An error of the client holds the whole reply of the service, which may name the access key.
"""

import re
from typing import Final

_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,300})</Message>")
_STATUS: Final = re.compile(r"status: ([1-5][0-9]{2})\b")
_METADATA: Final = "169.254.169.254"
"""Where the client looks for the role of a machine if the environment has no credentials."""
_CAUSES: Final = (
    re.compile(r'message: "([^"]{1,200})"'),  # of the system, such as a refused connection
    re.compile(r'error: "([^"]{1,200})"'),  # of a look-up of a name, or of a certificate
)
_REJECTED: Final = frozenset({
    "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
})  # fmt: skip

_CREDENTIALS: Final = (
    "check the AWS_ variables or the role of this machine, and that the policy of the bucket "
    "allows this request"
)


def describe(error: Exception) -> str:
    """Say why a request failed, and what to do."""
    text = str(error)
    code, status = _first(_CODE, text), _first(_STATUS, text)
    if _METADATA in text:
        return f"there are no credentials; {_CREDENTIALS}"
    if code in _REJECTED or status in {"401", "403"}:
        return f"{_reason(text, code, status)}; {_CREDENTIALS}"
    return f"{_reason(text, code, status)}; {_advice(error, code)}"


def is_missing_key(error: FileNotFoundError) -> bool:
    """Say whether an object is missing, and not the whole bucket."""
    return _first(_CODE, str(error)) != "NoSuchBucket"


def _reason(text: str, code: str | None, status: str | None) -> str:
    if code is not None:
        message = (_first(_MESSAGE, text) or "").rstrip(".")
        return f"{code} ({message})" if message else code
    if status is not None:
        return f"the service answered with status {status}"
    if "kind: Timeout" in text or "TimedOut" in text:
        return "the service did not answer in time"
    found = (_first(pattern, text) for pattern in _CAUSES)
    known = next((one for one in found if one), None)
    return known or "the request failed: " + text.partition("\n")[0].rpartition(" - ")[2][:200]


def _advice(error: Exception, code: str | None) -> str:
    if code == "NoSuchBucket":
        return "create the bucket, or correct the store URL"
    if isinstance(error, FileNotFoundError):
        return "restore the object from a backup, or publish the same prefix file again"
    return "check that the endpoint URL is right and that the service can be reached"


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return None if found is None else found[1]
