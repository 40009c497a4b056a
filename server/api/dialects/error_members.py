"""The members that other servers' clients read from an error, by the path of the route."""

import re
from collections.abc import Mapping
from typing import Any, Final

from server.problems import Problem

_HUGGING_FACE_ROUTES: Final = re.compile(r"/|/predict|/embed|/info|/models/.*", re.DOTALL)
_OPENAI_ROUTES: Final = re.compile(r"/classify|/v1/embeddings|/v1/models(/.*)?", re.DOTALL)

_OPEN_INFERENCE_ROUTES: Final = re.compile(r"/v2(/.*)?", re.DOTALL)

_ERROR_TYPES: Final[Mapping[int, str]] = {
    401: "Validation",
    429: "Overloaded",
    500: "Backend",
    503: "Unhealthy",
    504: "Overloaded",
    507: "Backend",
}
"""The `error_type` of text-embeddings-inference by status; all others are "Validation"."""


def error_members(problem: Problem, path: str) -> dict[str, Any]:
    """Return the members that the dialect of a path adds to a problem; none on our own routes."""
    if _HUGGING_FACE_ROUTES.fullmatch(path):
        return _hugging_face(problem)
    if _OPENAI_ROUTES.fullmatch(path):
        return _openai(problem)
    if _OPEN_INFERENCE_ROUTES.fullmatch(path):
        return {"error": problem.detail}
    return {}


def _hugging_face(problem: Problem) -> dict[str, Any]:
    return {
        "error": problem.detail,
        "error_type": _ERROR_TYPES.get(problem.status, "Validation"),
    }


def _openai(problem: Problem) -> dict[str, Any]:
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    param = problem.errors[0]["field"] if problem.errors else None
    return {
        "error": {"message": problem.detail, "type": kind, "param": param, "code": problem.code}
    }
