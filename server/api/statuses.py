"""The table from error classes to HTTP statuses and titles, and the codes of plain HTTP errors."""

from collections.abc import Mapping
from typing import Final

from prefixes import errors as prefix_errors
from server import errors as server_errors

CLIENT_CLOSED_REQUEST: Final = 499
"""Status in logs and metrics of a request whose sender disconnected. Nobody sees the response."""

STATUS: Final[Mapping[type[Exception], tuple[int, str]]] = {
    prefix_errors.InvalidName: (422, "Invalid name"),
    prefix_errors.InvalidText: (422, "Invalid text"),
    prefix_errors.PrefixNotFound: (404, "Prefix not found"),
    prefix_errors.PrefixRejected: (422, "Prefix file rejected"),
    prefix_errors.TenantNotFound: (404, "Tenant not found"),
    prefix_errors.TenantExists: (409, "Tenant exists"),
    prefix_errors.KeyNotFound: (404, "API key not found"),
    prefix_errors.KeyNotValid: (409, "API key not valid"),
    prefix_errors.ActingKeyInvalid: (401, "API key became invalid"),
    prefix_errors.LastOperatorKey: (409, "Last operator key"),
    prefix_errors.PrefixExists: (409, "Prefix exists"),
    prefix_errors.WebhookNotFound: (404, "Webhook not found"),
    prefix_errors.TooManyWebhooks: (409, "Too many webhooks"),
    prefix_errors.AnswerNotFound: (404, "Answer not found"),
    prefix_errors.VersionInUse: (409, "Version in use"),
    prefix_errors.NothingToRollBack: (409, "Nothing to roll back"),
    prefix_errors.InvalidLimit: (422, "Invalid limit"),
    prefix_errors.LimitsChanged: (412, "Limits changed"),
    prefix_errors.QuotaExceeded: (403, "Quota exceeded"),
    prefix_errors.CanaryNotFound: (404, "Canary not found"),
    prefix_errors.InvalidCanary: (422, "Invalid canary"),
    prefix_errors.RulesNotFound: (404, "Rules not found"),
    prefix_errors.InvalidRules: (422, "Invalid rules"),
    prefix_errors.UnknownLabel: (422, "Unknown label"),
    prefix_errors.IdempotencyKeyReused: (422, "Idempotency key reused"),
    prefix_errors.InputRejected: (422, "Input does not fit the task"),
    prefix_errors.TextTooLong: (422, "Text too long"),
    prefix_errors.BackboneUnavailable: (503, "Backbone unavailable"),
    prefix_errors.StoreUnavailable: (503, "Store unavailable"),
    prefix_errors.StoreCorrupted: (500, "Stored bytes are damaged"),
    server_errors.Overloaded: (429, "Too many requests in flight"),
    server_errors.LimitExceeded: (429, "Limit exceeded"),
    server_errors.DeadlineExceeded: (504, "Deadline exceeded"),
    server_errors.RegistryBehind: (503, "Registry behind"),
    server_errors.EngineUnavailable: (503, "Engine unavailable"),
    server_errors.InferenceFailed: (500, "Forward pass failed"),
    server_errors.ResidencyBudgetExceeded: (507, "Prefix does not fit on the device"),
    server_errors.KeyRequired: (401, "API key required"),
    server_errors.InvalidKey: (401, "Invalid API key"),
    server_errors.TenantSuspended: (403, "Tenant suspended"),
    server_errors.RoleRequired: (403, "Role required"),
    server_errors.AliasMoved: (412, "Alias moved"),
    server_errors.CanaryChanged: (412, "Canary changed"),
    server_errors.RulesChanged: (412, "Rules changed"),
    server_errors.BadPrecondition: (400, "Invalid precondition"),
    server_errors.BadIdempotencyKey: (400, "Invalid idempotency key"),
    server_errors.InvalidRegistryState: (400, "Invalid registry state"),
    server_errors.ModelRequired: (422, "Model required"),
    server_errors.WrongTaskType: (422, "Wrong route for this task type"),
    server_errors.TooManyInputs: (413, "Too many inputs"),
    server_errors.TooManyScores: (422, "Too many scores"),
    server_errors.BadUpload: (422, "Malformed upload"),
    server_errors.TrainingNotFound: (404, "Training not found"),
    server_errors.BatchNotFound: (404, "Batch not found"),
    server_errors.BatchRunning: (409, "Batch running"),
    server_errors.NothingToShow: (404, "Not written yet"),
    server_errors.FeedbackRejected: (422, "Feedback does not fit the task"),
    server_errors.FeedbackUnreadable: (500, "Feedback unreadable"),
}
"""Status and title of an error's class, or of its nearest base class."""

HTTP_CODES: Final[Mapping[int, str]] = {
    400: "malformed_request",
    404: "route_not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
    415: "unsupported_encoding",
    416: "range_not_satisfiable",
    429: "overloaded",
    503: "engine_unavailable",
}
"""The `code` of an error that only has an HTTP status."""


def status_and_title(error: Exception) -> tuple[int, str]:
    """Return what the table has for the class of an error, or for its nearest base class."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
