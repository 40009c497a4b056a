"""Errors of requests, of the engine and of starting the server.

    RequestRefused                the API rejects the request, or a response that is too large.
    |- KeyRequired                the request needs an API key and has none.
    |- InvalidKey                 the API key was never issued, or it is revoked or expired.
    |- TenantSuspended            the API key belongs to a suspended tenant.
    |- RoleRequired               the role of the API key is too low.
    |- InvalidRegistryState       the header Polyprefix-Registry-State is not a number.
    |- ModelRequired              the request names no model, and the server has no default model.
    |- TooManyScores              the response would hold more scores than one response may.
    |- BadUpload                  the multipart body lacks a required file or is damaged.
    |- TrainingNotFound           the training job does not exist, or another tenant owns it.
    |- BatchNotFound              the batch file does not exist, or another tenant owns it.
    |- BatchRunning               the batch file cannot be deleted while it runs.
    |- NothingToShow              the training job has not written the requested file yet.
    |- FeedbackRejected           the right answer does not fit the task or the input.
    '- FeedbackUnreadable         a stored text cannot be decrypted with the operator's keys.

    ServingError                  the engine rejects the request, or cannot answer it.
    |- WrongTaskType              a task has a different type than the request expects.
    |- TooManyInputs              the request has more texts than one request may have.
    |- Overloaded                 too much work is in flight; says when to retry.
    |- LimitExceeded              a tenant or a key has used up one of its limits for now.
    |- DeadlineExceeded           the request's time ran out before its answer was ready.
    |- RegistryBehind             the server has not seen the registry state of the request.
    |- EngineUnavailable          the engine is starting, draining or stopped, or the device failed.
    |- ResidencyBudgetExceeded    the prefix does not fit in the device memory for prefixes.
    '- InferenceFailed            the forward pass fails for this input or gives non-finite logits.

`server/api/statuses.py` maps both trees to HTTP statuses. Three errors outside them end the command
`serve`: AddressUnavailable, FrontEndFailed and ServerFailed.
"""

from typing import ClassVar

from prefixes.spec import TaskType
from server.rates import RateState


class RequestRefused(Exception):
    """Base class. `code` is stable and machine-readable; the message is written for people."""

    code: ClassVar[str] = "request_refused"


class KeyRequired(RequestRefused):
    code = "key_required"


class InvalidKey(RequestRefused):
    code = "invalid_key"


class TenantSuspended(RequestRefused):
    code = "tenant_suspended"


class RoleRequired(RequestRefused):
    code = "role_required"


class InvalidRegistryState(RequestRefused):
    code = "invalid_registry_state"


class ModelRequired(RequestRefused):
    code = "model_required"


class TooManyScores(RequestRefused):
    code = "too_many_scores"


class BadUpload(RequestRefused):
    code = "bad_upload"


class AliasMoved(RequestRefused):
    """An alias does not point to the version that `If-Match` or `If-None-Match` requires."""

    code = "alias_moved"


class CanaryChanged(RequestRefused):
    """The canary of an alias is not the one that `If-Match` or `If-None-Match` requires."""

    code = "canary_changed"


class RulesChanged(RequestRefused):
    """The rules of an alias are not those that `If-Match` or `If-None-Match` requires."""

    code = "rules_changed"


class BadPrecondition(RequestRefused):
    code = "bad_precondition"


class BadIdempotencyKey(RequestRefused):
    code = "bad_idempotency_key"


class TrainingNotFound(RequestRefused):
    code = "training_not_found"


class BatchNotFound(RequestRefused):
    code = "batch_not_found"


class BatchRunning(RequestRefused):
    code = "batch_running"


class NothingToShow(RequestRefused):
    code = "nothing_to_show"


class FeedbackRejected(RequestRefused):
    code = "feedback_rejected"


class FeedbackUnreadable(RequestRefused):
    code = "feedback_unreadable"


class ServingError(Exception):
    """Base class. `code` is stable and machine-readable; the message is written for people."""

    code: ClassVar[str] = "serving_error"


class WrongTaskType(ServingError):
    """The task of the input at `place` in the request has the type `task_type`."""

    code = "wrong_task_type"

    def __init__(self, message: str, *, place: int, task_type: TaskType) -> None:
        super().__init__(message)
        self.place = place
        self.task_type = task_type


class TooManyInputs(ServingError):
    code = "too_many_inputs"


class Overloaded(ServingError):
    """No part of the request was accepted. `retry_after_seconds` is an estimate."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class LimitExceeded(ServingError):
    """No part of the request was accepted. `limit` names the limit, `rates` all limits on rates."""

    code = "limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        retry_after_seconds: int,
        rates: tuple[RateState, ...] = (),
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        self.rates = rates


class DeadlineExceeded(ServingError):
    code = "deadline_exceeded"


class RegistryBehind(ServingError):
    code = "registry_behind"


class EngineUnavailable(ServingError):
    code = "engine_unavailable"


class ResidencyBudgetExceeded(ServingError):
    """Retrying does not help: the operator must raise POLYPREFIX_RESIDENT_MIB or pin less."""

    code = "residency_budget_exceeded"


class InferenceFailed(ServingError):
    code = "inference_failed"


class AddressUnavailable(OSError):
    """The listening address is in use, or it does not belong to this machine."""


class FrontEndFailed(Exception):
    """A front-end process ended before it accepted its first connection."""


class ServerFailed(Exception):
    """An error of the operating system ended the running server; the log has its traceback."""
