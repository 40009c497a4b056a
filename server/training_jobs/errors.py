"""How a training ends without a prefix."""

from collections.abc import Mapping
from typing import Any

from server.training_jobs.records import JobState


class Ended(Exception):
    """A training has ended without a prefix; `problem` says why, where it was not cancelled."""

    def __init__(self, state: JobState, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(state)
        self.state = state
        self.problem = problem


def problem(status: int, code: str, detail: str, errors: Any = ()) -> dict[str, Any]:
    """Describe why a training failed, in the shape of every error."""
    return {
        "type": f"urn:polyprefix:problem:{code}",
        "title": "The training failed",
        "status": status,
        "detail": detail,
        "code": code,
        **({"errors": list(errors)} if errors else {}),
    }
