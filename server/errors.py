"""Errors of requests, of the serving path, and of starting a server.

    RequestRefused
    |- KeyRequired      an anonymous caller asked for what only a key can show, or do
    |- InvalidKey       a key that was never issued, or is revoked
    |- ModelRequired    no `model` in the request, and no default one
    |- WrongTaskType    a task that the route asked does not answer; the message names the right one
    |- TooManyInputs    more texts than one request may hold
    |- TooManyScores    more scores than one response may hold
    |- BadUpload        a multipart body without the one file it must carry
    |- TrainingNotFound no such training, or not the caller's
    '- NothingToShow    a training has not come as far as what was asked for

    ServingError
    |- Overloaded         the queue is full; says when to retry
    |- DeadlineExceeded   the request's deadline passed before its answer was ready
    |- EngineUnavailable  the engine is starting or draining, or the device failed
    '- InferenceFailed    the forward pass fails on this request alone, repeatably

`server/api/problems.py` alone maps these to status codes. The others are for the operator.
"""

from typing import ClassVar

from prefixes.spec import TaskType


class RequestRefused(Exception):
    """Base class. `code` is stable and machine-readable; the message is written for people."""

    code: ClassVar[str] = "request_refused"


class KeyRequired(RequestRefused):
    code = "key_required"


class InvalidKey(RequestRefused):
    code = "invalid_key"


class ModelRequired(RequestRefused):
    code = "model_required"


class WrongTaskType(RequestRefused):
    """The task of the input at `place` in the request has another type: `task_type`."""

    code = "wrong_task_type"

    def __init__(self, message: str, *, place: int, task_type: TaskType) -> None:
        super().__init__(message)
        self.place = place
        self.task_type = task_type


class TooManyInputs(RequestRefused):
    code = "too_many_inputs"


class TooManyScores(RequestRefused):
    code = "too_many_scores"


class BadUpload(RequestRefused):
    code = "bad_upload"


class TrainingNotFound(RequestRefused):
    code = "training_not_found"


class NothingToShow(RequestRefused):
    code = "nothing_to_show"


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


class AddressUnavailable(OSError):
    """The address to listen on is taken or is not this machine's."""


class FrontEndFailed(Exception):
    """A front-end process ended before it ever took a connection."""
