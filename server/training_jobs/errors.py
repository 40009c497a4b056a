"""How a training job ends, or is interrupted, without a prefix."""

from collections.abc import Mapping, Sequence
from typing import Final

from server.problems import Problem

_TITLE: Final = "The training failed"


class TrainingCancelled(Exception):
    """The owner cancelled the training."""


class TrainingPaused(Exception):
    """The tenant has used up its CPU time. The training resumes when there is some again."""


class TrainingFailed(Exception):
    """`problem` describes the reason for the owner."""

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status, _TITLE, code, detail, errors)
