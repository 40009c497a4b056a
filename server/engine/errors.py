"""What can go wrong on the serving path itself, beyond what is wrong with a prefix or a text.

ServingError
|- Overloaded         no room for the request now; says when to come back
|- DeadlineExceeded   the request's time ran out before its answer was there
|- EngineUnavailable  starting, draining, or the device no longer works
'- InferenceFailed    this request made the forward pass fail, alone and repeatably
"""

from typing import ClassVar


class ServingError(Exception):
    """Base class. `code` is stable and machine-readable."""

    code: ClassVar[str] = "serving_error"


class Overloaded(ServingError):
    """The request was refused whole. `retry_after_seconds` is an estimate from recent speed."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(ServingError):
    code = "deadline_exceeded"


class EngineUnavailable(ServingError):
    code = "engine_unavailable"


class InferenceFailed(ServingError):
    code = "inference_failed"
